import { Link } from "wouter";
import type { Report } from "../api/report";
import { readyQueries } from "../query/ready";
import { t } from "../texts";
import { Icon, type IconName } from "../ui/icon";

const ICONS: IconName[] = ["chart", "data", "query"];

export function ReadyQueries({ datasource, report }: { datasource: string; report: Report }) {
  return (
    <section aria-labelledby="ready-title">
      <h2 id="ready-title">{t.ready.title}</h2>
      <ul className="ready">
        {readyQueries(datasource, report).map(({ title, sql }, place) => (
          <li key={title}>
            <Link href={`/query?sql=${encodeURIComponent(sql)}&run=1`} className="ready-link">
              <Icon name={ICONS[place] ?? "query"} />
              {title}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}
