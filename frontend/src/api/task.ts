// A task as the page works with it.
import type { TaskFieldsFragment } from "./generated";

export type Task = TaskFieldsFragment;

export interface Timing {
  stage: string;
  seconds: number;
  started_at: string | null;
  completed_at: string | null;
}

const ENDS = new Set(["SUCCEEDED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT"]);

/** A server may have final states that this page does not know: then the task is completed too. */
export const ended = (task: Pick<Task, "status" | "completedAt">): boolean =>
  ENDS.has(task.status) || Boolean(task.completedAt);
export const timings = (task: Task): Timing[] => (Array.isArray(task.timings) ? (task.timings as Timing[]) : []);
