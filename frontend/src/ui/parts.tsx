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
    finding.value && t.place.value(finding.value),
  ].filter(Boolean);
  const title = t.errors[finding.code];
  return (
    <div className={`problem ${tone}`} data-code={finding.code}>
      <Icon name="alert" />
      <div>
        {title && <p className="problem-title">{title}</p>}
        <p className={title ? undefined : "problem-title"}>{finding.message}</p>
        {place.length > 0 && <p className="problem-place">{place.join(" · ")}</p>}
        {finding.action && (
          <p className="problem-action">
            <b>{t.actor[finding.actor] ?? finding.actor}:</b> {finding.action}
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
  open: boolean;
  title: string;
  text: string;
  yes: string;
  no: string;
  onYes: () => void;
  onClose: () => void;
}

/** Asks before something that cannot be taken back. */
export function Confirm({ open, title, text, yes, no, onYes, onClose }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label={title}>
      <h2>{title}</h2>
      <p>{text}</p>
      <div className="actions end">
        <button type="button" onClick={onClose}>
          {no}
        </button>
        <button type="button" className="danger" onClick={onYes}>
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
