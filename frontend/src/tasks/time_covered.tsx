// The time that the rows cover, as a bar with gaps.
import { moment } from "../format";
import { t } from "../texts";
import type { Report } from "./report_view";

const SHOWN = 4;
const WIDTH = 1000;

export function TimeCovered({ time }: { time: NonNullable<Report["time"]> }) {
  const { minMillis: from, maxMillis: to, gaps } = time;
  const at = (millis: number) => ((millis - from) / (to - from || 1)) * WIDTH;
  const listed = gaps.slice(0, SHOWN).map(({ startMillis: start, endMillis: end }) => t.report.gap(moment(start), moment(end)));
  const label = `${t.report.coverage}: ${moment(from)} – ${moment(to)}, ${gaps.length ? t.report.gaps(gaps.length) : t.report.noGaps}`;
  return (
    <div className="covered">
      <svg viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" role="img" aria-label={label}>
        <rect className="band" x={0} y={0} width={WIDTH} height={10} />
        {gaps.map(({ startMillis: start, endMillis: end }) => (
          // At least 2 units wide, so that a gap of a day is visible in a bar of years.
          <rect key={start} className="gap" x={at(start)} y={0} width={Math.max(2, at(end) - at(start))} height={10} />
        ))}
      </svg>
      <p className="covered-ends">
        <span>{moment(from)}</span>
        <span>{gaps.length ? t.report.gaps(gaps.length) : t.report.noGaps}</span>
        <span>{moment(to)}</span>
      </p>
      {listed.length > 0 && (
        <p className="hint">
          {listed.join(", ")}
          {gaps.length > SHOWN && ` ${t.report.moreGaps(gaps.length - SHOWN)}`}
        </p>
      )}
    </div>
  );
}
