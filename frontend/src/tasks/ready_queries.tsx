// Starter queries that the server proposes for the loaded rows.
import { Link } from "wouter";
import { useDocument } from "../api/documents";
import { StarterQueriesDocument } from "../api/generated";
import type { Task } from "../api/task";
import { queryPath, tableQuery } from "../query/sql";
import { t } from "../texts";
import { Icon, type IconName } from "../ui/icon";
import { ProblemBox } from "../ui/parts";

const ICONS: Record<string, IconName> = { line: "chart", bar: "bars" };

export function ReadyQueries({ task }: { task: Task }) {
  const { data, problem } = useDocument(StarterQueriesDocument, { taskId: task.taskId });
  const newest = { title: t.query.newest, sql: tableQuery(task.datasourceName ?? ""), chart: "" };
  if (!data && !problem) return null;
  return (
    <section aria-labelledby="ready-title">
      <h2 id="ready-title">{t.task.ready}</h2>
      {problem && <ProblemBox problem={problem} />}
      <ul className="ready">
        {[...(data?.starterQueries ?? []), newest].map(({ title, sql, chart }) => (
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
