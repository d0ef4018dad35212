// A task as the page uses it.
import type { TaskFieldsFragment, TaskRowFragment } from "./generated";
import { STATES } from "./states";

export type Task = TaskFieldsFragment;
/** The part of a task that a list shows. */
export type TaskRow = TaskRowFragment;
export type Timing = Task["stageTimings"][number];

/** Whether the task has ended. In a final state of a newer server, it has a completion time. */
export const ended = (task: Pick<Task, "status" | "completedAt">): boolean =>
  (STATES[task.status]?.group ?? "running") !== "running" || Boolean(task.completedAt);
