import { expect, test } from "vitest";
import { ended } from "./task";

test("a task has ended in a final state", () => {
  expect(ended({ status: "VALIDATING", completedAt: null })).toBe(false);
  expect(ended({ status: "REJECTED", completedAt: "2026-01-31T12:00:00Z" })).toBe(true);
});

test("a task in an unknown state has ended once it has a completion time", () => {
  expect(ended({ status: "UNKNOWN", completedAt: null })).toBe(false);
  expect(ended({ status: "UNKNOWN", completedAt: "2026-01-31T12:00:00Z" })).toBe(true);
});
