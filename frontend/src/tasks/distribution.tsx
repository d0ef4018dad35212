// How the values of a column are distributed: bars along the range of numbers and times, else the most frequent values.
import type { Column } from "../api/report";
import { count, share } from "../format";
import { t } from "../texts";

const SHOWN = 3;
const HEIGHT = 24;

export function Distribution({ column }: { column: Column }) {
  const { histogram, top_values: top, distinct, sample_values: values, source_name: name } = column;
  return (
    <div className="distribution">
      {histogram && histogram.counts.length > 1 ? (
        <Bars label={t.report.histogram(name)} counts={histogram.counts} />
      ) : (
        <ul>
          {top.slice(0, SHOWN).map((each) => (
            <li key={each.value}>
              <span>{each.value}</span> <small>{share(each.count / (values || 1))}</small>
            </li>
          ))}
        </ul>
      )}
      {distinct !== null && distinct > 0 && <small>{t.report.distinct(count(distinct), column.distinct_approximate)}</small>}
    </div>
  );
}

function Bars({ label, counts }: { label: string; counts: number[] }) {
  const most = Math.max(...counts, 1);
  return (
    <svg viewBox={`0 0 ${counts.length} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {counts.map((each, place) => {
        // What is there is seen, however little it is.
        const height = each ? Math.max(1, (each / most) * HEIGHT) : 0;
        return <rect key={place} x={place + 0.08} y={HEIGHT - height} width={0.84} height={height} />;
      })}
    </svg>
  );
}
