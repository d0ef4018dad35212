// Actions that the state of a task allows; each needs a confirmation.
import { useState } from "react";
import { has } from "virtual:schema";
import { useLocation } from "wouter";
import { type Problem, problemOf } from "../api/problems";
import { ended, type TaskRow } from "../api/task";
import { cancelTask, deleteFiles, retryTask, revertTask } from "../api/tasks";
import { t } from "../texts";
import { Confirm, ProblemBox } from "../ui/parts";

type Name = "cancel" | "retry" | "revert" | "delete";

interface Action {
  name: Name;
  possible: (task: TaskRow) => boolean;
  /** Returns the id of a task to open, if any. */
  run: (taskId: string) => Promise<string | undefined>;
}

const UNDOABLE = new Set(["LIVE", "PARTLY_REPLACED"]);
const withoutResult = (work: (taskId: string) => Promise<unknown>) => (taskId: string) => work(taskId).then(() => undefined);

const ACTIONS: Action[] = [
  { name: "cancel", possible: (task) => !ended(task) && task.status !== "CLEANING", run: withoutResult(cancelTask) },
  {
    name: "retry",
    possible: (task) => ended(task) && task.status !== "SUCCEEDED" && !task.filesDeletedAt && task.startedAt !== null,
    run: retryTask,
  },
  {
    name: "revert",
    possible: (task) => has("Mutation.revertIngestionTask") && UNDOABLE.has(task.loadState ?? ""),
    run: withoutResult(revertTask),
  },
  { name: "delete", possible: (task) => ended(task) && !task.filesDeletedAt && task.startedAt !== null, run: withoutResult(deleteFiles) },
];

export function TaskActions({ task, small = false }: { task: TaskRow; small?: boolean }) {
  const [chosen, setChosen] = useState<Action>();
  const [problem, setProblem] = useState<Problem>();
  const [, go] = useLocation();
  const run = async (action: Action) => {
    setChosen(undefined);
    try {
      const next = await action.run(task.taskId);
      setProblem(undefined);
      if (next) go(`/tasks/${next}`);
    } catch (failure) {
      setProblem(problemOf(failure));
    }
  };
  const words = chosen && t.actions[chosen.name];
  return (
    <>
      {ACTIONS.filter(({ possible }) => possible(task)).map((action) => (
        <button key={action.name} type="button" className={small ? "small" : undefined} onClick={() => setChosen(action)}>
          {t.actions[action.name].label}
          {small && <span className="visually-hidden"> {task.originalFilename}</span>}
        </button>
      ))}
      {problem && <ProblemBox problem={problem} />}
      {words && (
        <Confirm
          title={words.title}
          text={words.text}
          yes={words.yes}
          no={t.actions.no}
          danger={chosen.name !== "retry"}
          onYes={() => void run(chosen)}
          onClose={() => setChosen(undefined)}
        />
      )}
    </>
  );
}
