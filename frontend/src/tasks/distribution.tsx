// Distribution of the values of a column: a histogram of numbers and times, otherwise the most frequent values.
import type { Column } from "./report_view";
import { count, share } from "../format";
import { t } from "../texts";

const SHOWN = 3;
const HEIGHT = 24;

export function Distribution({ column }: { column: Column }) {
  const { histogram, topValues: top, distinct, sampleValues: values, sourceName: name } = column;
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
      {distinct !== null && distinct > 0 && <small>{t.report.distinct(count(distinct), column.distinctApproximate)}</small>}
    </div>
  );
}

function Bars({ label, counts }: { label: string; counts: number[] }) {
  const most = Math.max(...counts, 1);
  return (
    <svg viewBox={`0 0 ${counts.length} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {counts.map((each, index) => {
        // At least one pixel, so that small counts are visible.
        const height = each ? Math.max(1, (each / most) * HEIGHT) : 0;
        return <rect key={index} x={index + 0.08} y={HEIGHT - height} width={0.84} height={height} />;
      })}
    </svg>
  );
}
