// Positions of the stages of a task on a time axis.
import { STATES } from "../api/states";
import { ended, type Task, type Timing } from "../api/task";

const EXPECTED = ["receive", "validate", "ingest", "verify"];
const ORDER = ["receive", "validate", "plan", "ingest", "verify", "clean"];

export interface Span {
  stage: string;
  state: "done" | "running" | "waiting";
  seconds: number;
  /** Start and length as shares of the axis. */
  from: number;
  length: number;
}

/** The stages on an axis that ends with the task, or at `now` (milliseconds since 1970). */
export function spans(task: Pick<Task, "status" | "createdAt" | "completedAt">, timings: Timing[], now: number): Span[] {
  const over = ended(task);
  const begin = Math.min(Date.parse(task.createdAt ?? ""), ...timings.map(({ startedAt }) => Date.parse(startedAt ?? "") || Infinity));
  const end = over ? Date.parse(task.completedAt ?? "") || now : Math.max(now, begin);
  const whole = Math.max(end - begin, 1);
  const running = over ? undefined : STATES[task.status]?.stage;
  const names = new Set([...EXPECTED, ...timings.map(({ stage }) => stage), ...(running ? [running] : [])]);
  return [...ORDER.filter((stage) => names.has(stage)), ...[...names].filter((stage) => !ORDER.includes(stage))]
    .map((stage): Span => {
      const timing = timings.find((each) => each.stage === stage);
      const start = Date.parse(timing?.startedAt ?? "") || (stage === "receive" ? begin : NaN);
      const current = stage === running && !timing?.completedAt;
      if (Number.isNaN(start)) return { stage, state: current ? "running" : "waiting", seconds: 0, from: 1, length: 0 };
      const stop = timing?.completedAt ? Date.parse(timing.completedAt) : end;
      const seconds = timing?.completedAt ? timing.seconds : Math.max(0, stop - start) / 1000;
      const from = Math.min(1, Math.max(0, (start - begin) / whole));
      return { stage, state: current ? "running" : "done", seconds, from, length: Math.min(1 - from, Math.max(0, stop - start) / whole) };
    })
    .filter(({ state }) => !(over && state === "waiting"));
}
