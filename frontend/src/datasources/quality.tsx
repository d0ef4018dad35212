// Quality of the files of a datasource, load by load. Imported lazily, because the chart library is large.
import { useMemo } from "react";
import { Link } from "wouter";
import { useDocument } from "../api/documents";
import { QualityDocument, type QualityQuery } from "../api/generated";
import { ago, count, share } from "../format";
import type { Series } from "../query/chart_series";
import { DriftItems } from "../tasks/drift_list";
import { t } from "../texts";
import { Loading, ProblemBox, Status, useNow } from "../ui/parts";
import { Plot } from "../ui/plot";

const LOADS = 30;

type Rows = QualityQuery["quality"][number]["quality"];
const rejectedShare = (rows: Rows): number => (rows?.rowsRead ? rows.rowsRejected / rows.rowsRead : 0);

export default function Quality({ datasource }: { datasource: string }) {
  const { data: found, problem } = useDocument(QualityDocument, { name: datasource, limit: LOADS });
  const data = found?.quality;
  const now = useNow(false);
  const shown = useMemo((): Series => {
    const loads = [...(data ?? [])].reverse();
    const rejected = loads.map(({ quality }) => 100 * rejectedShare(quality));
    return {
      kind: "bar",
      time: false,
      words: loads.map(({ createTime: at }) => (at ?? "").slice(5, 16).replace("T", " ")),
      x: loads.map((_, index) => index),
      ys: [{ name: t.quality.rejected, values: rejected }],
    };
  }, [data]);
  if (problem) return <ProblemBox problem={problem} />;
  if (!data) return <Loading />;
  if (data.length === 0) return <p className="hint">{t.quality.none}</p>;
  return (
    <div className="quality">
      <Plot label={t.quality.chart(datasource)} height={190} {...shown} />
      <div className="table-scroll" tabIndex={0} role="region" aria-label={t.quality.title}>
        <table>
          <thead>
            <tr>
              {[t.history.file, t.history.status, t.quality.read, t.quality.rejected, t.quality.duplicates, t.quality.drift].map((name, index) => (
                <th key={name} scope="col" className={index > 1 && index < 5 ? "number" : undefined}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {data.map(({ taskId: id, state, filename, createTime: at, quality }) => (
              <tr key={id}>
                <th scope="row">
                  <Link href={`/tasks/${id}`}>{filename}</Link>
                  <small>{at && ago(at, now)}</small>
                </th>
                <td>
                  <Status status={state ?? ""} />
                </td>
                <td className="number">{count(quality?.rowsRead ?? 0)}</td>
                <td className="number">{share(rejectedShare(quality))}</td>
                <td className="number">{count(quality?.duplicateRows ?? 0)}</td>
                <td>
                  <DriftItems drift={quality?.drift ?? []} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
