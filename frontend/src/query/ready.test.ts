import { expect, test } from "vitest";
import type { Report } from "../api/report";
import { grain, quoted, readyQueries } from "./ready";

const column = (name: string, type: string, load_type: string) => ({ name, source_name: name, type, load_type });
const report = {
  columns: [
    column("order_id", "TEXT", "STRING"),
    column("__time", "DATE", "TIME"),
    column('re"gion', "TEXT", "STRING"),
    column("unit_price", "DECIMAL", "DOUBLE"),
    column("revenue", "DECIMAL", "DOUBLE"),
  ],
  time: { min_millis: 0, max_millis: 365 * 86_400_000 },
} as unknown as Report;

test("three questions, about a measure and a group and not about ids", () => {
  const made = readyQueries("my sales", report);
  expect(made).toHaveLength(3);
  expect(made[0]?.sql).toContain(`TIME_FLOOR(__time, 'P1W') AS "time", SUM("revenue")`);
  expect(made[1]?.sql).toContain('SELECT "re""gion", SUM("revenue")');
  expect(made.every(({ sql }) => sql.includes('FROM "my sales"'))).toBe(true);
});

test("without numbers rows are counted", () => {
  const words = { ...report, columns: report.columns.slice(0, 3) } as Report;
  expect(readyQueries("t", words)[1]?.sql).toContain("COUNT(*)");
});

test("quotes and grains", () => {
  expect(quoted('a"b')).toBe('"a""b"');
  expect([1, 30, 400, 4000, 40_000].map((days) => grain(days * 86_400_000))).toEqual(["PT1H", "P1D", "P1W", "P1M", "P1Y"]);
});
