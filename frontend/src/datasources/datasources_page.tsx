// Datasources with their rows, the time they cover, and their latest loads.
import { Suspense } from "react";
import { Link } from "wouter";
import { useDocument } from "../api/documents";
import { DatasourceDocument, DatasourcesDocument, type DatasourceQuery } from "../api/generated";
import { useTasks } from "../api/tasks";
import { count, moment, size } from "../format";
import { TaskRows } from "../tasks/task_rows";
import { t } from "../texts";
import { later } from "../ui/later";
import { Empty, Loading, ProblemBox, useTitle } from "../ui/parts";
import { SettingsForm } from "./settings_form";

const Quality = later(() => import("./quality"));

const LOADS = 10;

export function DatasourcesPage() {
  useTitle(t.titles.datasources);
  const { data, problem } = useDocument(DatasourcesDocument, {});
  return (
    <div className="page">
      <h1>{t.titles.datasources}</h1>
      {problem && <ProblemBox problem={problem} />}
      {!data && !problem && <Loading />}
      {data?.listDatasources.length === 0 && (
        <Empty icon="data">
          <p>{t.datasources.none}</p>
          <Link href="/" className="button">
            {t.history.start}
          </Link>
        </Empty>
      )}
      <ul className="datasources">
        {data?.listDatasources.map((each) => (
          <li key={each.name} className="card">
            <h2>
              <Link href={`/datasources/${encodeURIComponent(each.name)}`}>{each.name}</Link>
            </h2>
            <Facts of={each} />
            <div className="actions">
              <Link href={`/query?table=${encodeURIComponent(each.name)}`} className="button">
                {t.task.queryIt}
                <span className="visually-hidden"> {each.name}</span>
              </Link>
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}

export function DatasourcePage({ name }: { name: string }) {
  useTitle(name);
  const { data, problem } = useDocument(DatasourceDocument, { name });
  const { tasks, problem: tasksProblem } = useTasks(LOADS, 0, { dataSourceName: name });
  const columns = data?.describeDatasource.columns.filter((column) => column.name !== "__load_id");
  return (
    <div className="page">
      <section className="task-head">
        <h1>{name}</h1>
        {problem && <ProblemBox problem={problem} />}
        {data && <Facts of={data.describeDatasource} />}
        <div className="actions">
          <Link href={`/query?table=${encodeURIComponent(name)}`} className="button">
            {t.task.queryIt}
          </Link>
        </div>
      </section>
      <section className="recent">
        <h2>{t.datasources.loads}</h2>
        {tasksProblem && <ProblemBox problem={tasksProblem} />}
        {tasks?.length === 0 && <p className="hint">{t.datasources.noLoads}</p>}
        {tasks && tasks.length > 0 && <TaskRows tasks={tasks} />}
      </section>
      <section className="card">
        <h2>{t.quality.title}</h2>
        <Suspense fallback={<Loading />}>
          <Quality datasource={name} />
        </Suspense>
      </section>
      {columns && (
        <section className="card">
          <h2>{t.report.columns(columns.length)}</h2>
          <ul className="column-list">
            {columns.map((column) => (
              <li key={column.name}>
                <span>{column.name}</span> <small>{column.type.toLowerCase()}</small>
              </li>
            ))}
          </ul>
        </section>
      )}
      <details className="card again">
        <summary>
          <h2>{t.settings.title}</h2>
        </summary>
        <SettingsForm datasource={name} />
      </details>
    </div>
  );
}

function Facts({ of }: { of: Omit<DatasourceQuery["describeDatasource"], "columns"> }) {
  return (
    <dl className="facts">
      <div>
        <dt>{t.task.facts.rows}</dt>
        <dd>{count(of.rows)}</dd>
      </div>
      <div>
        <dt>{t.task.facts.size}</dt>
        <dd>{size(of.bytes)}</dd>
      </div>
      <div>
        <dt>{t.report.coverage}</dt>
        <dd>
          {moment(Date.parse(of.start))} – {moment(Date.parse(of.end))}
        </dd>
      </div>
    </dl>
  );
}
