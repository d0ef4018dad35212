import { expect, test } from "vitest";
import { spans } from "./stages";

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const timing = (stage: string, from: number, to: number | null) => ({
  stage,
  seconds: (to ?? from) - from,
  startedAt: at(from),
  completedAt: to === null ? null : at(to),
});

test("a running stage extends to now, and later ones are waiting", () => {
  const task = { status: "VALIDATING", createdAt: at(0), completedAt: null };
  const found = spans(task, [timing("receive", 0, 5), timing("validate", 5, null)], Date.parse(at(10)));
  expect(found.map(({ stage, state }) => [stage, state])).toEqual([
    ["receive", "done"],
    ["validate", "running"],
    ["ingest", "waiting"],
    ["verify", "waiting"],
  ]);
  expect(found[1]).toMatchObject({ from: 0.5, length: 0.5, seconds: 5 });
});

test("a plan that needs approval comes before the load", () => {
  const task = { status: "PLANNED", createdAt: at(0), completedAt: null };
  const found = spans(task, [timing("receive", 0, 1), timing("validate", 1, 2), timing("plan", 2, null)], Date.parse(at(4)));
  expect(found.map(({ stage }) => stage)).toEqual(["receive", "validate", "plan", "ingest", "verify"]);
});

test("an ended task shows only stages that ran", () => {
  const task = { status: "REJECTED", createdAt: at(0), completedAt: at(8) };
  const found = spans(task, [timing("receive", 0, 4), timing("validate", 4, 8)], Date.parse(at(60)));
  expect(found.map(({ stage, from, length }) => [stage, from, length])).toEqual([
    ["receive", 0, 0.5],
    ["validate", 0.5, 0.5],
  ]);
});

test("a slow browser clock results in no negative bar", () => {
  const task = { status: "PENDING", createdAt: at(30), completedAt: null };
  for (const span of spans(task, [timing("receive", 30, null)], Date.parse(at(0)))) {
    expect(span.length).toBeGreaterThanOrEqual(0);
    expect(span.seconds).toBeGreaterThanOrEqual(0);
  }
});
