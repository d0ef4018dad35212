// Small parts that many pages use.
import { useEffect, useRef, useState, type ReactNode } from "react";
import type { Finding } from "../api/rest";
import { t } from "../texts";
import { Icon } from "./icon";

export function Loading() {
  return (
    <p className="loading" role="status">
      {t.loading}
    </p>
  );
}

/** The page's name in the browser, while it is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · ${t.product}`;
  }, [title]);
}

/** What is wrong, where, and what to do about it by whom. */
export function ProblemBox({ finding, tone = "bad", retry }: { finding: Finding; tone?: "bad" | "warn"; retry?: () => void }) {
  const place = [
    finding.line !== null && t.place.line(finding.line),
    finding.column && t.place.column(finding.column),
    // Elsewhere the message has it.
    (finding.line !== null || finding.column) && finding.value && t.place.value(finding.value),
  ].filter(Boolean);
  const title = t.errors[finding.code];
  const who = t.actor[finding.actor] ?? finding.actor;
  return (
    <div className={`problem ${tone}`} data-code={finding.code}>
      <Icon name="alert" />
      <div>
        {title && <p className="problem-title">{title}</p>}
        <p className={title ? undefined : "problem-title"}>{finding.message}</p>
        {place.length > 0 && <p className="problem-place">{place.join(" · ")}</p>}
        {finding.action && (
          <p className="problem-action">
            {!finding.action.startsWith(who) && <b>{who}:</b>} {finding.action}
          </p>
        )}
        <p className="problem-code">
          <code>{finding.code}</code>
          {retry && (
            <button type="button" className="text-button" onClick={retry}>
              {t.retry}
            </button>
          )}
        </p>
      </div>
    </div>
  );
}

const TONES: Record<string, string> = {
  SUCCEEDED: "good",
  REJECTED: "bad",
  FAILED: "bad",
  TIMEOUT: "bad",
  CANCELLED: "quiet",
  PLANNED: "warn",
};

export function Status({ status }: { status: string }) {
  return (
    <span className={`status ${TONES[status] ?? "busy"}`} data-status={status}>
      {t.status[status] ?? status}
    </span>
  );
}

interface ConfirmProps {
  title: string;
  text: string;
  yes: string;
  no: string;
  danger: boolean;
  onYes: () => void;
  onClose: () => void;
}

/** Asks before something that is hard to take back. Shown as long as it is there. */
export function Confirm({ title, text, yes, no, danger, onYes, onClose }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={dialog} onCancel={onClose} aria-label={title}>
      <h2>{title}</h2>
      <p>{text}</p>
      <div className="actions end">
        <button type="button" onClick={onClose}>
          {no}
        </button>
        <button type="button" className={danger ? "danger" : "primary"} onClick={onYes}>
          {yes}
        </button>
      </div>
    </dialog>
  );
}

export function Empty({ icon, children }: { icon: Parameters<typeof Icon>[0]["name"]; children: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} />
      <div>{children}</div>
    </div>
  );
}

/** The time, told every second while `running`. Milliseconds since 1970. */
export function useNow(running: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}

interface BarProps {
  label: string;
  /** Between 0 and 1; undefined where unknown. */
  value: number | undefined;
  tone?: string;
}

export function Bar({ label, value, tone = "" }: BarProps) {
  return (
    <div
      className={`bar ${tone} ${value === undefined ? "unknown" : ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={value === undefined ? undefined : Math.round(value * 100)}
    >
      <span style={{ width: `${(value ?? 1) * 100}%` }} />
    </div>
  );
}
