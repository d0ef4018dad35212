// The result as a line, bar or scatter chart.
import { useMemo, useState } from "react";
import { t } from "../texts";
import { Plot } from "../ui/plot";
import { isNumeric, type Answer, type Choice, type Kind } from "./answer";
import { MOST_BARS, series } from "./chart_series";

export default function ChartView({ answer, first }: { answer: Answer; first: Choice }) {
  const [choice, setChoice] = useState(first);
  const { columns } = answer;
  const numbers = columns.flatMap((column, place) => (isNumeric(column) ? [place] : []));
  const data = useMemo(() => series(answer, choice), [answer, choice]);
  const names = choice.ys.map((place) => columns[place]?.name ?? "").join(", ");
  const label = t.query.chartLabel(t.query.kinds[choice.kind] ?? "", names, columns[choice.x]?.name ?? "");
  return (
    <div className="chart">
      <div className="actions">
        <label className="inline-field">
          {t.query.kind}
          <select value={choice.kind} onChange={(event) => setChoice({ ...choice, kind: event.target.value as Kind })}>
            {Object.entries(t.query.kinds).map(([kind, name]) => (
              <option key={kind} value={kind}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label className="inline-field">
          {t.query.x}
          <select value={choice.x} onChange={(event) => setChoice({ ...choice, x: Number(event.target.value) })}>
            {columns.map(({ name }, place) => (
              <option key={place} value={place}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label className="inline-field">
          {t.query.y}
          <select value={choice.ys[0]} onChange={(event) => setChoice({ ...choice, ys: [Number(event.target.value)] })}>
            {numbers.map((place) => (
              <option key={place} value={place}>
                {columns[place]?.name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Plot label={label} {...data} />
      {choice.kind === "bar" && answer.rows.length > MOST_BARS && <p className="hint">{t.query.chartCut(MOST_BARS)}</p>}
    </div>
  );
}
