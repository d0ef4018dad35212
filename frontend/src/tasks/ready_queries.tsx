// Three questions that the server proposes for what was loaded, one click away.
import { Link } from "wouter";
import { useRead } from "../api/rest";
import type { Task } from "../api/task";
import { taskPath } from "../api/tasks";
import { queryPath, tableQuery } from "../query/sql";
import { t } from "../texts";
import { Icon, type IconName } from "../ui/icon";
import { ProblemBox } from "../ui/parts";

interface Ready {
  title: string;
  sql: string;
  chart: "line" | "bar";
}

const ICONS: Record<string, IconName> = { line: "chart", bar: "bars" };

export function ReadyQueries({ task }: { task: Task }) {
  const { data, problem } = useRead<Ready[]>(`${taskPath(task.taskId)}/queries`);
  const newest = { title: t.query.newest, sql: tableQuery(task.datasourceName ?? ""), chart: "" };
  if (!data && !problem) return null;
  return (
    <section aria-labelledby="ready-title">
      <h2 id="ready-title">{t.task.ready}</h2>
      {problem && <ProblemBox finding={problem} />}
      <ul className="ready">
        {[...(data ?? []), newest].map(({ title, sql, chart }) => (
          <li key={title}>
            <Link href={queryPath(sql)} className="ready-link">
              <Icon name={ICONS[chart] ?? "query"} />
              {title}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}
