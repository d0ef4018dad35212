// How good the files of a datasource were, load by load. A chunk of its own, as it draws a chart.
import { useMemo } from "react";
import { Link } from "wouter";
import type { Drift } from "../api/report";
import { useRead } from "../api/rest";
import { ago, count, share } from "../format";
import type { Series } from "../query/chart_series";
import { DriftItems } from "../tasks/drift_list";
import { t } from "../texts";
import { Loading, ProblemBox, Status, useNow } from "../ui/parts";
import { Plot } from "../ui/plot";

interface TaskQuality {
  task_id: string;
  state: string;
  filename: string;
  create_time: string;
  quality: { rows_read: number; rows_loadable: number; rows_rejected: number; duplicate_rows: number; drift: Drift[] };
}

const LOADS = 30;

export default function Quality({ datasource }: { datasource: string }) {
  const { data, problem } = useRead<TaskQuality[]>(`/api/datasources/${encodeURIComponent(datasource)}/quality?limit=${LOADS}`);
  const now = useNow(false);
  const shown = useMemo((): Series => {
    const loads = [...(data ?? [])].reverse();
    const rejected = loads.map(({ quality: { rows_read: read, rows_rejected: bad } }) => (read ? (100 * bad) / read : 0));
    return {
      kind: "bar",
      time: false,
      words: loads.map(({ create_time: at }) => at.slice(5, 16).replace("T", " ")),
      x: loads.map((_, place) => place),
      ys: [{ name: t.quality.rejected, values: rejected }],
    };
  }, [data]);
  if (problem) return <ProblemBox finding={problem} />;
  if (!data) return <Loading />;
  if (data.length === 0) return <p className="hint">{t.quality.none}</p>;
  return (
    <div className="quality">
      <Plot label={t.quality.chart(datasource)} height={190} {...shown} />
      <div className="table-scroll" tabIndex={0} role="region" aria-label={t.quality.title}>
        <table>
          <thead>
            <tr>
              {[t.history.file, t.history.status, t.quality.read, t.quality.rejected, t.quality.duplicates, t.quality.drift].map((name, place) => (
                <th key={name} scope="col" className={place > 1 && place < 5 ? "number" : undefined}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {data.map(({ task_id: id, state, filename, create_time: at, quality }) => (
              <tr key={id}>
                <th scope="row">
                  <Link href={`/tasks/${id}`}>{filename}</Link>
                  <small>{ago(at, now)}</small>
                </th>
                <td>
                  <Status status={state} />
                </td>
                <td className="number">{count(quality.rows_read)}</td>
                <td className="number">{share(quality.rows_read ? quality.rows_rejected / quality.rows_read : 0)}</td>
                <td className="number">{count(quality.duplicate_rows)}</td>
                <td>
                  <DriftItems drift={quality.drift} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
