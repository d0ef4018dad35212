// Figures of the last hours, as GET /api/stats tells them, for bars side by side.
export interface Bucket {
  start: string;
  tasks: number;
  succeeded: number;
  rejected: number;
  failed: number;
  rows: number;
  bytes: number;
}

export interface Statistics {
  hours: number;
  buckets: Bucket[];
  stages: { stage: string; p50_seconds: number; p95_seconds: number }[];
  top_errors: { code: string; count: number }[];
  queue: { waiting: number; running: number };
}

export const DAILY_FROM_HOURS = 48;

/** The whole span, with nothing where nothing was: an hour a bar, or a day. */
export function filled({ hours, buckets }: Pick<Statistics, "hours" | "buckets">, now: number): Bucket[] {
  const step = (hours > DAILY_FROM_HOURS ? 24 : 1) * 3_600_000;
  const known = new Map(buckets.map((bucket) => [Math.floor(Date.parse(bucket.start) / step), bucket]));
  const bars = Math.ceil((hours * 3_600_000) / step) + 1;
  const first = Math.floor(now / step) - bars + 1;
  return Array.from({ length: bars }, (_, place) => {
    const start = new Date((first + place) * step).toISOString();
    return known.get(first + place) ?? { start, tasks: 0, succeeded: 0, rejected: 0, failed: 0, rows: 0, bytes: 0 };
  });
}
