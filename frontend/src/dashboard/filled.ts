// Statistics as a complete series of bars.
import type { StatisticsQuery } from "../api/generated";

export type Statistics = StatisticsQuery["statistics"];
export type Bucket = Statistics["buckets"][number];

export const DAILY_FROM_HOURS = 48;

/** Buckets of the whole period, with empty ones added; each is an hour, or a day beyond 48 hours. */
export function filled({ hours, buckets }: Pick<Statistics, "hours" | "buckets">, now: number): Bucket[] {
  const step = (hours > DAILY_FROM_HOURS ? 24 : 1) * 3_600_000;
  const known = new Map(buckets.map((bucket) => [Math.floor(Date.parse(bucket.start) / step), bucket]));
  const bars = Math.ceil((hours * 3_600_000) / step) + 1;
  const first = Math.floor(now / step) - bars + 1;
  return Array.from({ length: bars }, (_, index) => {
    const start = new Date((first + index) * step).toISOString();
    return known.get(first + index) ?? { start, tasks: 0, succeeded: 0, rejected: 0, failed: 0, rows: 0, bytes: 0 };
  });
}
