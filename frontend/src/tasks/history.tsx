// All loads, with filter, search and pages.
import { Link, useLocation, useSearch } from "wouter";
import { statesOf } from "../api/states";
import { useTasks } from "../api/tasks";
import { t } from "../texts";
import { Empty, Loading, ProblemBox, useTitle } from "../ui/parts";
import { TaskActions } from "./actions";
import { TaskRows } from "./task_rows";

const PAGE = 25;

const GROUPS: Record<string, string[] | undefined> = {
  all: undefined,
  running: statesOf("running"),
  loaded: statesOf("loaded"),
  bad: statesOf("bad"),
};

export function HistoryPage() {
  useTitle(t.titles.history);
  const params = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const group = params.get("show") ?? "all";
  const text = params.get("text") ?? "";
  const page = Math.max(0, Number(params.get("page")) || 0);
  const filtered = group !== "all" || text !== "";
  // One more than is shown, to know whether there is a next page.
  const { tasks, problem } = useTasks(PAGE + 1, page * PAGE, { status: GROUPS[group], text });

  const set = (changes: Record<string, string>) => {
    const next = new URLSearchParams(params);
    for (const [name, value] of Object.entries({ page: "", ...changes })) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    go(next.size ? `/tasks?${next.toString()}` : "/tasks", { replace: "text" in changes });
  };
  const shown = tasks?.slice(0, PAGE);
  const more = (tasks?.length ?? 0) > PAGE;

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
      {problem && <ProblemBox problem={problem} />}
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
      {shown && shown.length > 0 && <TaskRows tasks={shown} actions={(task) => <TaskActions task={task} small />} />}
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
    </div>
  );
}
