import { expect, test } from "vitest";
import { acceptable, suggestDatasource, validDatasource } from "./names";

test.each([
  ["Sales 2024 (Q1).xlsx", "sales_2024_q1"],
  ["Übersicht.März.csv", "ubersicht_marz"],
  ["___.csv", "data"],
  ["日本.csv", "data"],
  ["a".repeat(300) + ".csv", "a".repeat(128)],
])("%s suggests %s", (file, name) => {
  expect(suggestDatasource(file)).toBe(name);
  expect(validDatasource(name)).toBe(true);
});

test("only names that Druid accepts are valid", () => {
  for (const name of ["", "_a", "a b", "ä", "../x", "a".repeat(129)]) expect(validDatasource(name), name).toBe(false);
  for (const name of ["a", "A.b-c_9"]) expect(validDatasource(name), name).toBe(true);
});

test("only files with accepted extensions are accepted", () => {
  const extensions = [".csv", ".xlsx", ".xls"];
  expect(["a.csv", "b.XLSX", "c.xls"].every((name) => acceptable(name, extensions))).toBe(true);
  expect(["a.pdf", "csv", "a.csv.exe"].some((name) => acceptable(name, extensions))).toBe(false);
});
