// What can be done to a task in its state: each is asked for once more before it is done.
import { useState } from "react";
import { has } from "virtual:doors";
import { useLocation } from "wouter";
import { findingOf, type Finding } from "../api/rest";
import { ended, type Task } from "../api/task";
import { cancelTask, deleteFiles, retryTask, revertTask } from "../api/tasks";
import { t } from "../texts";
import { Confirm, ProblemBox } from "../ui/parts";

type Name = "cancel" | "retry" | "revert" | "delete";

interface Action {
  name: Name;
  possible: (task: Task) => boolean;
  /** The id of a task to be shown then, if any. */
  run: (taskId: string) => Promise<string | undefined>;
}

const UNDOABLE = new Set(["LIVE", "PARTLY_REPLACED"]);
const quietly = (work: (taskId: string) => Promise<unknown>) => (taskId: string) => work(taskId).then(() => undefined);

const ACTIONS: Action[] = [
  { name: "cancel", possible: (task) => !ended(task) && task.status !== "CLEANING", run: quietly(cancelTask) },
  {
    name: "retry",
    possible: (task) => ended(task) && task.status !== "SUCCEEDED" && !task.filesDeletedAt && task.startedAt !== null,
    run: retryTask,
  },
  {
    name: "revert",
    possible: (task) => has("Mutation.revertIngestionTask") && UNDOABLE.has(task.loadState ?? ""),
    run: quietly(revertTask),
  },
  { name: "delete", possible: (task) => ended(task) && !task.filesDeletedAt && task.startedAt !== null, run: quietly(deleteFiles) },
];

export function TaskActions({ task, small = false }: { task: Task; small?: boolean }) {
  const [asked, setAsked] = useState<Action>();
  const [problem, setProblem] = useState<Finding>();
  const [, go] = useLocation();
  const run = async (action: Action) => {
    setAsked(undefined);
    try {
      const next = await action.run(task.taskId);
      setProblem(undefined);
      if (next) go(`/tasks/${next}`);
    } catch (failure) {
      setProblem(findingOf(failure));
    }
  };
  const words = asked && t.actions[asked.name];
  return (
    <>
      {ACTIONS.filter(({ possible }) => possible(task)).map((action) => (
        <button key={action.name} type="button" className={small ? "small" : undefined} onClick={() => setAsked(action)}>
          {t.actions[action.name].label}
          {small && <span className="visually-hidden"> {task.originalFilename}</span>}
        </button>
      ))}
      {problem && <ProblemBox finding={problem} />}
      {words && (
        <Confirm
          title={words.title}
          text={words.text}
          yes={words.yes}
          no={t.actions.no}
          danger={asked.name !== "retry"}
          onYes={() => void run(asked)}
          onClose={() => setAsked(undefined)}
        />
      )}
    </>
  );
}
