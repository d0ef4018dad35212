// What can be queried: each datasource with its rows, the time they cover, and its latest loads.
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { findingOf, type Finding } from "../api/rest";
import { useTasks } from "../api/tasks";
import { count, moment } from "../format";
import { ask } from "../query/answer";
import { quoted } from "../query/ready";
import { useTables, type Tables } from "../query/tables";
import { TaskRows } from "../tasks/task_rows";
import { t } from "../texts";
import { Empty, Loading, ProblemBox, useTitle } from "../ui/parts";

const LOADS = 10;

interface Extent {
  rows: number;
  from: string | null;
  to: string | null;
}

function useExtent(name: string): { extent: Extent | undefined; problem: Finding | undefined } {
  const [extent, setExtent] = useState<Extent>();
  const [problem, setProblem] = useState<Finding>();
  useEffect(() => {
    const stop = new AbortController();
    ask(`SELECT COUNT(*), MIN(__time), MAX(__time) FROM ${quoted(name)}`, 1, stop.signal).then(
      ({ rows: [row] }) => {
        const [rows, from, to] = (row ?? [0, null, null]) as [number, string | null, string | null];
        setExtent(rows ? { rows, from, to } : { rows: 0, from: null, to: null });
      },
      (failure: unknown) => !stop.signal.aborted && setProblem(findingOf(failure)),
    );
    return () => stop.abort();
  }, [name]);
  return { extent, problem };
}

export function DatasourcesPage() {
  useTitle(t.titles.datasources);
  const { tables, problem } = useTables();
  const names = Object.keys(tables ?? {});
  return (
    <div className="page">
      <h1>{t.titles.datasources}</h1>
      {problem && <ProblemBox finding={problem} />}
      {!tables && !problem && <Loading />}
      {tables && names.length === 0 && (
        <Empty icon="data">
          <p>{t.datasources.none}</p>
          <Link href="/" className="button">
            {t.history.start}
          </Link>
        </Empty>
      )}
      <ul className="datasources">
        {names.map((name) => (
          <li key={name} className="card">
            <h2>
              <Link href={`/datasources/${encodeURIComponent(name)}`}>{name}</Link>
            </h2>
            <Facts name={name} tables={tables} />
            <div className="actions">
              <Link href={`/query?table=${encodeURIComponent(name)}`} className="button">
                {t.task.queryIt}
                <span className="visually-hidden"> {name}</span>
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
  const { tables } = useTables();
  const { tasks, problem } = useTasks(LOADS, 0, { dataSourceName: name });
  const columns = tables?.[name];
  return (
    <div className="page">
      <section className="task-head">
        <h1>{name}</h1>
        <Facts name={name} tables={tables} />
        <div className="actions">
          <Link href={`/query?table=${encodeURIComponent(name)}`} className="button">
            {t.task.queryIt}
          </Link>
        </div>
      </section>
      <section className="recent">
        <h2>{t.datasources.loads}</h2>
        {problem && <ProblemBox finding={problem} />}
        {tasks?.length === 0 && <p className="hint">{t.datasources.noLoads}</p>}
        {tasks && tasks.length > 0 && <TaskRows tasks={tasks} />}
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
    </div>
  );
}

function Facts({ name, tables }: { name: string; tables: Tables | undefined }) {
  const { extent, problem } = useExtent(name);
  if (problem) return <ProblemBox finding={problem} />;
  return (
    <dl className="facts">
      <div>
        <dt>{t.task.facts.rows}</dt>
        <dd>{extent ? count(extent.rows) : "…"}</dd>
      </div>
      <div>
        <dt>{t.datasources.columns}</dt>
        <dd>{tables?.[name] ? count(tables[name].length) : "…"}</dd>
      </div>
      <div>
        <dt>{t.report.coverage}</dt>
        <dd>{extent?.from && extent.to ? `${moment(Date.parse(extent.from))} – ${moment(Date.parse(extent.to))}` : "…"}</dd>
      </div>
    </dl>
  );
}
