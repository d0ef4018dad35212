// The time that the rows cover, as a band with its gaps.
import type { Report } from "../api/report";
import { moment } from "../format";
import { t } from "../texts";

const SHOWN = 4;
const WIDTH = 1000;

export function TimeCovered({ time }: { time: NonNullable<Report["time"]> }) {
  const { min_millis: from, max_millis: to, gaps } = time;
  const at = (millis: number) => ((millis - from) / (to - from || 1)) * WIDTH;
  const told = gaps.slice(0, SHOWN).map(({ start_millis: start, end_millis: end }) => t.report.gap(moment(start), moment(end)));
  const label = `${t.report.coverage}: ${moment(from)} – ${moment(to)}, ${gaps.length ? t.report.gaps(gaps.length) : t.report.noGaps}`;
  return (
    <div className="covered">
      <svg viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" role="img" aria-label={label}>
        <rect className="band" x={0} y={0} width={WIDTH} height={10} />
        {gaps.map(({ start_millis: start, end_millis: end }) => (
          // A gap of a day is seen in a band of years.
          <rect key={start} className="gap" x={at(start)} y={0} width={Math.max(2, at(end) - at(start))} height={10} />
        ))}
      </svg>
      <p className="covered-ends">
        <span>{moment(from)}</span>
        <span>{gaps.length ? t.report.gaps(gaps.length) : t.report.noGaps}</span>
        <span>{moment(to)}</span>
      </p>
      {told.length > 0 && (
        <p className="hint">
          {told.join(", ")}
          {gaps.length > SHOWN && ` ${t.report.moreGaps(gaps.length - SHOWN)}`}
        </p>
      )}
    </div>
  );
}
