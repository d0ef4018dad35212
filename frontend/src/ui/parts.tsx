// Small components that many pages use.
import { useEffect, useRef, useState, type ReactNode } from "react";
import type { Problem } from "../api/problems";
import { STATES } from "../api/states";
import { t } from "../texts";
import { Icon } from "./icon";

export function Loading() {
  return (
    <p className="loading" role="status">
      {t.loading}
    </p>
  );
}

/** Sets the title of the browser tab while the page is shown. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · ${t.product}`;
  }, [title]);
}

/** What is wrong, where, and who should do what about it. */
export function ProblemBox({ problem, tone = "bad", retry }: { problem: Problem; tone?: "bad" | "warn"; retry?: () => void }) {
  const place = [
    problem.line !== null && t.place.line(problem.line),
    problem.column && t.place.column(problem.column),
    // Without a place, the message contains the value.
    (problem.line !== null || problem.column) && problem.value && t.place.value(problem.value),
  ].filter(Boolean);
  const title = t.errors[problem.code];
  const who = t.actor[problem.actor] ?? problem.actor;
  return (
    <div className={`problem ${tone}`} data-code={problem.code}>
      <Icon name="alert" />
      <div>
        {title && <p className="problem-title">{title}</p>}
        <p className={title ? undefined : "problem-title"}>{problem.message}</p>
        {place.length > 0 && <p className="problem-place">{place.join(" · ")}</p>}
        {problem.action && (
          <p className="problem-action">
            {!problem.action.startsWith(who) && <b>{who}:</b>} {problem.action}
          </p>
        )}
        <p className="problem-code">
          <code>{problem.code}</code>
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

export function Status({ status }: { status: string }) {
  return (
    <span className={`status ${STATES[status]?.tone ?? "busy"}`} data-status={status}>
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

/** Asks for confirmation of an action that is hard to undo. Open while mounted. */
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

/** The current time in milliseconds since 1970, updated every second while `running`. */
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
  /** Between 0 and 1; undefined: unknown. */
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
