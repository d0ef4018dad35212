// Loads, rows and bytes over time, durations of stages, errors, and the queue.
import { useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useDocument } from "../api/documents";
import { DatasourcesDocument, StatisticsDocument } from "../api/generated";
import Quality from "../datasources/quality";
import type { Series } from "../query/chart_series";
import { count, duration, share, size } from "../format";
import { t } from "../texts";
import { Empty, Loading, ProblemBox, useNow, useTitle } from "../ui/parts";
import { Plot } from "../ui/plot";
import { DAILY_FROM_HOURS, filled, type Bucket, type Statistics } from "./filled";

const DEFAULT_SPAN = 24;
const SPANS = [DEFAULT_SPAN, 168, 720];
const MIB = 1024 * 1024;

export default function DashboardPage() {
  useTitle(t.titles.dashboard);
  const hours = Number(new URLSearchParams(useSearch()).get("hours")) || DEFAULT_SPAN;
  const [, go] = useLocation();
  const { data, problem } = useDocument(StatisticsDocument, { hours });
  return (
    <div className="page">
      <div className="section-head">
        <h1>{t.titles.dashboard}</h1>
        <div className="segments" role="group" aria-label={t.dashboard.span}>
          {SPANS.map((each) => (
            <button key={each} type="button" aria-pressed={each === hours} onClick={() => go(`/dashboard?hours=${each}`)}>
              {t.dashboard.spans[each]}
            </button>
          ))}
        </div>
      </div>
      {problem && <ProblemBox problem={problem} />}
      {!data && !problem && <Loading />}
      {data && <Figures data={data.statistics} />}
    </div>
  );
}

/** Percentage of ended loads that succeeded; null: none has ended. */
function successRate({ succeeded: good, rejected, failed }: Bucket): number | null {
  const over = good + rejected + failed;
  return over ? (100 * good) / over : null;
}

function Figures({ data }: { data: Statistics }) {
  const sum = (name: Exclude<keyof Bucket, "start">) => data.buckets.reduce((total, bucket) => total + bucket[name], 0);
  const tasks = sum("tasks");
  const over = sum("succeeded") + sum("rejected") + sum("failed");
  const now = useNow(false);
  const charts = useMemo(() => {
    const buckets = filled(data, now);
    const x = buckets.map((_, index) => index);
    const daily = data.hours > DAILY_FROM_HOURS;
    const words = buckets.map(({ start }) => (daily ? start.slice(5, 10) : start.slice(11, 16)));
    const made = (name: string, values: (number | null)[]): Series => ({
      kind: "bar",
      time: false,
      words,
      x,
      // No bar for zero.
      ys: [{ name, values: values.map((value) => value || null) }],
    });
    return [
      { title: t.dashboard.loads, series: made(t.dashboard.loads, buckets.map((bucket) => bucket.tasks)) },
      { title: t.dashboard.rows, series: made(t.dashboard.rows, buckets.map((bucket) => bucket.rows)) },
      { title: t.dashboard.bytes, series: made(t.dashboard.bytes, buckets.map((bucket) => bucket.bytes / MIB)) },
      { title: t.dashboard.rate, series: made(t.dashboard.rate, buckets.map(successRate)) },
    ];
  }, [data, now]);
  const tiles: [string, string][] = [
    [t.dashboard.loads, count(tasks)],
    [t.dashboard.success, over ? share(sum("succeeded") / over) : "–"],
    [t.dashboard.rows, count(sum("rows"))],
    [t.dashboard.read, size(sum("bytes"))],
    [t.dashboard.running, count(data.queue.running)],
    [t.dashboard.waiting, count(data.queue.waiting)],
  ];
  const longest = Math.max(...data.stages.map(({ p95Seconds }) => p95Seconds), 0.001);
  return (
    <>
      <dl className="tiles">
        {tiles.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {tasks === 0 ? (
        <Empty icon="chart">
          <p>{t.dashboard.none}</p>
          <Link href="/" className="button">
            {t.history.start}
          </Link>
        </Empty>
      ) : (
        <div className="dashboard">
          {charts.map(({ title, series }) => (
            <section key={title} className="card">
              <h2>{title}</h2>
              <Plot label={t.dashboard.chart(title)} height={190} {...series} />
            </section>
          ))}
          <section className="card">
            <h2>{t.dashboard.stages}</h2>
            <p className="hint">{t.dashboard.stagesHint}</p>
            <ul className="timeline">
              {data.stages.map(({ stage, p50Seconds: median, p95Seconds: p95 }) => (
                <li key={stage} className="stage">
                  <span className="stage-name">{t.stages[stage] ?? stage}</span>
                  <span className="track two" aria-hidden="true">
                    <span className="most" style={{ width: `${(p95 / longest) * 100}%` }} />
                    <span style={{ width: `${(median / longest) * 100}%` }} />
                  </span>
                  <span className="stage-time">
                    {duration(median)} / {duration(p95)}
                  </span>
                </li>
              ))}
            </ul>
          </section>
          <section className="card">
            <h2>{t.dashboard.errors}</h2>
            {data.topErrors.length === 0 && <p className="hint">{t.dashboard.noErrors}</p>}
            <ul className="counts">
              {data.topErrors.map(({ code, count: times }) => (
                <li key={code}>
                  <span>{t.errors[code] ?? code}</span>
                  <code>{code}</code>
                  <b>{count(times)}</b>
                </li>
              ))}
            </ul>
          </section>
          <DatasourceQuality />
        </div>
      )}
    </>
  );
}

function DatasourceQuality() {
  const { data } = useDocument(DatasourcesDocument, {});
  const [chosen, setChosen] = useState<string>();
  const names = data?.listDatasources.map(({ name }) => name) ?? [];
  const name = chosen ?? names[0];
  if (!name) return null;
  return (
    <section className="card wide">
      <div className="section-head">
        <h2>{t.quality.title}</h2>
        <label className="field">
          <span className="visually-hidden">{t.quality.which}</span>
          <select value={name} onChange={(event) => setChosen(event.target.value)}>
            {names.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      </div>
      <Quality key={name} datasource={name} />
    </section>
  );
}
