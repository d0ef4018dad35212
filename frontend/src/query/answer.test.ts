import { expect, test } from "vitest";
import { chooseChart, distinct, toCsv } from "./answer";
import { series } from "./chart_series";

const time = { name: "time", type: "TIMESTAMP" };
const word = { name: "region", type: "VARCHAR" };
const number = { name: "revenue", type: "DOUBLE" };

test("the chart depends on the types", () => {
  expect(chooseChart([time, number])).toEqual({ kind: "line", x: 0, ys: [1] });
  expect(chooseChart([word, number])).toEqual({ kind: "bar", x: 0, ys: [1] });
  expect(chooseChart([number, { ...number, name: "cost" }])).toEqual({ kind: "scatter", x: 0, ys: [1] });
  expect(chooseChart([word, time])).toBeNull();
  expect(chooseChart([number])).toBeNull();
});

test("times become ordered seconds, texts become positions", () => {
  const rows = [
    ["2024-01-02T00:00:00.000Z", 2],
    ["2024-01-01T00:00:00.000Z", null],
  ];
  const line = series({ columns: [time, number], rows }, { kind: "line", x: 0, ys: [1] });
  expect(line.x).toEqual([1704067200, 1704153600]);
  expect(line.ys[0]?.values).toEqual([null, 2]);
  const bars = series({ columns: [word, number], rows: [["b", 1], ["a", 5]] }, { kind: "bar", x: 0, ys: [1] });
  expect(bars.words).toEqual(["b", "a"]);
  expect(bars.x).toEqual([0, 1]);
});

test("CSV quotes where needed and never starts a formula", () => {
  const rows = [["a,b", 'say "hi"', null], ["=1+1", "-5", 7]];
  expect(toCsv({ columns: [word, word, number], rows })).toBe(
    'region,region_2,revenue\r\n"a,b","say ""hi""",\r\n\'=1+1,-5,7\r\n',
  );
});

test("columns of the same name get unique headers that no other column has", () => {
  expect(distinct(["n", "n", "n_2", "n", "x"])).toEqual(["n", "n_3", "n_2", "n_4", "x"]);
  const rows = [[1, 2]];
  expect(toCsv({ columns: [number, number], rows })).toBe("revenue,revenue_2\r\n1,2\r\n");
});
