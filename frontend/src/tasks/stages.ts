// Where the stages of a task lie on one axis of time.
import { ended, type Task, type Timing } from "../api/task";

const EXPECTED = ["receive", "validate", "ingest", "verify"];
const ORDER = ["receive", "validate", "plan", "ingest", "verify", "clean"];
const RUNNING: Record<string, string> = {
  PENDING: "receive",
  VALIDATING: "validate",
  PLANNED: "plan",
  INGESTING: "ingest",
  VERIFYING: "verify",
  CLEANING: "clean",
};

export interface Span {
  stage: string;
  state: "done" | "running" | "waiting";
  seconds: number;
  /** Where it begins and how long it is, as shares of the whole. */
  from: number;
  length: number;
}

/** The stages of a task on an axis that ends at its end, or at `now` (milliseconds since 1970). */
export function spans(task: Pick<Task, "status" | "createdAt" | "completedAt">, found: Timing[], now: number): Span[] {
  const over = ended(task);
  const begin = Math.min(Date.parse(task.createdAt ?? ""), ...found.map(({ started_at }) => Date.parse(started_at ?? "") || Infinity));
  const end = over ? Date.parse(task.completedAt ?? "") || now : Math.max(now, begin);
  const whole = Math.max(end - begin, 1);
  const running = over ? undefined : RUNNING[task.status];
  const names = new Set([...EXPECTED, ...found.map(({ stage }) => stage), ...(running ? [running] : [])]);
  return [...ORDER.filter((stage) => names.has(stage)), ...[...names].filter((stage) => !ORDER.includes(stage))]
    .map((stage): Span => {
      const timing = found.find((each) => each.stage === stage);
      const start = Date.parse(timing?.started_at ?? "") || (stage === "receive" ? begin : NaN);
      const current = stage === running && !timing?.completed_at;
      if (Number.isNaN(start)) return { stage, state: current ? "running" : "waiting", seconds: 0, from: 1, length: 0 };
      const stop = timing?.completed_at ? Date.parse(timing.completed_at) : end;
      const seconds = timing?.completed_at ? timing.seconds : Math.max(0, stop - start) / 1000;
      const from = Math.min(1, Math.max(0, (start - begin) / whole));
      return { stage, state: current ? "running" : "done", seconds, from, length: Math.min(1 - from, Math.max(0, stop - start) / whole) };
    })
    .filter(({ state }) => !(over && state === "waiting"));
}
