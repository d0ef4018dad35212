import { expect, test } from "vitest";
import { filled } from "./filled";

const bucket = (start: string) => ({ start, tasks: 3, succeeded: 3, rejected: 0, failed: 0, rows: 9, bytes: 1 });
const NOW = Date.parse("2026-01-31T12:34:00Z");

test("hours without loads are added as empty buckets", () => {
  const found = filled({ hours: 24, buckets: [bucket("2026-01-31T10:00:00Z")] }, NOW);
  expect(found).toHaveLength(25);
  expect(found.at(-1)).toMatchObject({ start: "2026-01-31T12:00:00.000Z", tasks: 0 });
  expect(found.at(-3)?.tasks).toBe(3);
});

test("longer periods have one bucket per day", () => {
  const found = filled({ hours: 168, buckets: [bucket("2026-01-30T00:00:00Z")] }, NOW);
  expect(found).toHaveLength(8);
  expect(found.map(({ tasks }) => tasks)).toEqual([0, 0, 0, 0, 0, 0, 3, 0]);
});
