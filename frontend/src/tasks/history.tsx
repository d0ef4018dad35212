// All loads: filtered, searched, a page at a time.
import { useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { ended, type Task } from "../api/task";
import { cancelTask, useTasks } from "../api/tasks";
import { findingOf, type Finding } from "../api/rest";
import { t } from "../texts";
import { Confirm, Empty, Loading, ProblemBox, useTitle } from "../ui/parts";
import { TaskRows } from "./task_rows";

const PAGE = 25;
const ASKED = 200;

const GROUPS: Record<string, (task: Task) => boolean> = {
  all: () => true,
  running: (task) => !ended(task),
  loaded: (task) => task.status === "SUCCEEDED",
  bad: (task) => ended(task) && task.status !== "SUCCEEDED",
};

export function HistoryPage() {
  useTitle(t.titles.history);
  const wanted = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const group = wanted.get("show") ?? "all";
  const text = wanted.get("text") ?? "";
  const page = Math.max(0, Number(wanted.get("page")) || 0);
  const filtered = group !== "all" || text !== "";
  const { tasks, problem, reload } = useTasks(filtered ? ASKED : PAGE + 1, filtered ? 0 : page * PAGE);
  const [asked, setAsked] = useState<Task>();
  const [failed, setFailed] = useState<Finding>();

  const set = (changes: Record<string, string>) => {
    const next = new URLSearchParams(wanted);
    for (const [name, value] of Object.entries({ page: "", ...changes })) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    go(next.size ? `/tasks?${next.toString()}` : "/tasks", { replace: "text" in changes });
  };
  const cancel = async (task: Task) => {
    setAsked(undefined);
    try {
      await cancelTask(task.taskId);
      setFailed(undefined);
      reload();
    } catch (failure) {
      setFailed(findingOf(failure));
    }
  };

  const lower = text.toLowerCase();
  const matching = tasks?.filter(
    (task) =>
      (GROUPS[group] ?? GROUPS.all)?.(task) &&
      (!lower || [task.originalFilename, task.datasourceName, task.taskId].some((each) => each?.toLowerCase().includes(lower))),
  );
  const from = filtered ? page * PAGE : 0;
  const shown = matching?.slice(from, from + PAGE);
  const more = (matching?.length ?? 0) > from + PAGE;

  return (
    <div className="page">
      <h1>{t.history.title}</h1>
      <div className="filters">
        <input
          type="search"
          value={text}
          placeholder={t.history.search}
          aria-label={t.history.search}
          onChange={(event) => set({ text: event.target.value })}
        />
        <div className="segments" role="group" aria-label={t.history.filter}>
          {Object.keys(GROUPS).map((each) => (
            <button key={each} type="button" aria-pressed={group === each} onClick={() => set({ show: each === "all" ? "" : each })}>
              {t.history.groups[each]}
            </button>
          ))}
        </div>
      </div>
      {problem && <ProblemBox finding={problem} />}
      {failed && <ProblemBox finding={failed} />}
      {!tasks && !problem && <Loading />}
      {tasks?.length === 0 && !filtered && (
        <Empty icon="history">
          <p>{t.history.empty}</p>
          <Link href="/" className="button">
            {t.history.start}
          </Link>
        </Empty>
      )}
      {filtered && shown?.length === 0 && (
        <Empty icon="history">
          <p>{t.history.none}</p>
          <Link href="/tasks" className="button">
            {t.history.clear}
          </Link>
        </Empty>
      )}
      {shown && shown.length > 0 && (
        <TaskRows
          tasks={shown}
          actions={(task) =>
            !ended(task) && (
              <button type="button" className="small" onClick={() => setAsked(task)}>
                {t.upload.cancel}
              </button>
            )
          }
        />
      )}
      {(page > 0 || more) && (
        <nav className="pager" aria-label={t.history.title}>
          <button type="button" disabled={page === 0} onClick={() => set({ page: page > 1 ? String(page - 1) : "" })}>
            {t.history.newer}
          </button>
          <span>{t.history.page(page * PAGE + 1, page * PAGE + (shown?.length ?? 0))}</span>
          <button type="button" disabled={!more} onClick={() => set({ page: String(page + 1) })}>
            {t.history.older}
          </button>
        </nav>
      )}
      <Confirm
        open={asked !== undefined}
        title={t.task.cancelTitle}
        text={t.task.cancelText}
        yes={t.task.cancel}
        no={t.task.keep}
        onYes={() => asked && void cancel(asked)}
        onClose={() => setAsked(undefined)}
      />
    </div>
  );
}
