// @vitest-environment jsdom
import { ApolloProvider } from "@apollo/client/react";
import { act } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PlanQuery, ReceiptQuery, ReportQuery, StarterQueriesQuery, TaskQuery } from "../api/generated";

vi.mock("virtual:schema", () => ({ has: () => true }));

const PROBLEM = { code: "MANY_REJECTS", message: "6 of 40 rows were rejected.", line: 3, column: "net", value: "x", action: "Fix them.", actor: "you" };
// Apollo's cache matches fragments by type.
const CACHED = { __typename: "Problem", ...PROBLEM };

const task: TaskQuery["getIngestionTaskStatus"] = {
  taskId: "t1",
  status: "SUCCEEDED",
  message: "Loaded 34 rows.",
  datasourceName: "sales",
  originalFilename: "sales.csv",
  fileSize: 2048,
  receivedSize: 2048,
  rowCount: 34,
  rowsRejected: 6,
  createdAt: "2026-01-31T12:00:00Z",
  startedAt: "2026-01-31T12:00:01Z",
  completedAt: "2026-01-31T12:00:09Z",
  loadState: "LIVE",
  filesDeletedAt: null,
  rowsRead: 40,
  rowsSkipped: 0,
  mode: "append",
  duplicateOf: null,
  retryOf: null,
  repairOf: null,
  queuePosition: null,
  estimatedSecondsLeft: null,
  problems: [],
  warnings: [CACHED],
  failure: null,
  stageTimings: [{ stage: "receive", seconds: 1, startedAt: "2026-01-31T12:00:00Z", completedAt: "2026-01-31T12:00:01Z" }],
};

const report: ReportQuery["report"] = {
  format: "CSV",
  verdict: "PASSED",
  summary: "34 of 40 rows can be loaded.",
  rowsRejected: 6,
  duplicateRows: 2,
  dialect: { encoding: "utf-8", delimiter: ";", headerLine: 1 },
  sheet: null,
  columns: [
    {
      sourceName: "Net",
      name: "net",
      position: 0,
      type: "DECIMAL",
      fitting: 34,
      misfits: 6,
      nulls: 0,
      evidence: "34 of 40 values are numbers.",
      min: "1.5",
      max: "9",
      distinct: 20,
      distinctApproximate: false,
      sampleValues: 34,
      histogram: { counts: [1, 0, 33] },
      topValues: [{ value: "9", count: 3 }],
    },
  ],
  time: { sourceName: "Day", minMillis: 0, maxMillis: 86_400_000 * 9, gaps: [{ startMillis: 86_400_000, endMillis: 86_400_000 * 3 }] },
  rules: [
    { rule: { name: "max_reject_share", severity: "WARN", limit: 0.05 }, passed: false, found: 0.15 },
    { rule: { name: "min_columns", severity: "BLOCK", limit: 5 }, passed: true, found: null },
  ],
  firstRejects: [{ line: 3, problems: [PROBLEM] }],
  comparedWith: "t0",
  drift: [{ kind: "ADDED", column: "net", before: "", now: "number" }],
};

const receipt: ReceiptQuery["receipt"] = { sha256: "ab12", rowsCounted: 34, sums: [{ column: "net" }], interval: null, druidTaskIds: ["sluice-1"] };
const starterQueries: StarterQueriesQuery["starterQueries"] = [{ title: "Rows per day", sql: "SELECT 1", chart: "line" }];
const plan: PlanQuery["plan"] = {
  planHash: "h",
  datasourceName: "sales",
  interval: "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z",
  segmentGranularity: "DAY",
  columns: [{ name: "net", change: "CHANGED", type: "DOUBLE", existingType: "BIGINT" }],
  chunks: [{ interval: "2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z", rowsAdded: 3, rowsReplaced: 2 }],
  rowsAdded: 3,
  rowsReplaced: 2,
  estimatedSeconds: 4,
};

let shown = task;
let failing = new Set<string>();
let root: Root;
let host: HTMLElement;

/** The `__typename` that Apollo asks for, so that its cache knows the task. */
const typed = (value: object | null) => value && { __typename: "IngestionTaskStatus", ...value };

function respond(operation: string): Response {
  if (failing.has(operation)) {
    const extensions = { ...PROBLEM, code: "STORAGE_UNAVAILABLE", actor: "nobody" };
    return Response.json({ data: null, errors: [{ message: "The object store does not respond.", extensions }] });
  }
  const data: Record<string, object> = {
    Task: { getIngestionTaskStatus: typed(shown) },
    Report: { report },
    Receipt: { receipt },
    Plan: { plan },
    StarterQueries: { starterQueries },
  };
  return Response.json({ data: data[operation] });
}

class NoSocket extends EventTarget {
  close() {}
}

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal("WebSocket", NoSocket);
  vi.stubGlobal("fetch", (path: string, init?: RequestInit) =>
    Promise.resolve(
      path === "/graphql"
        ? respond((JSON.parse(String(init?.body)) as { operationName: string }).operationName)
        : Response.json({ max_file_bytes: 1, extensions: [".csv"] }),
    ),
  );
  shown = task;
  failing = new Set();
});
afterEach(() => {
  act(() => root.unmount());
  host.remove();
  vi.unstubAllGlobals();
});

async function open(text: string): Promise<string> {
  vi.resetModules();
  const { client } = await import("../api/client");
  const { TaskPage } = await import("./task_page");
  host = document.body.appendChild(document.createElement("div"));
  root = createRoot(host);
  act(() =>
    root.render(
      <ApolloProvider client={client}>
        <TaskPage id="t1" />
      </ApolloProvider>,
    ),
  );
  await vi.waitFor(async () => {
    await act(() => new Promise((done) => setTimeout(done, 10)));
    expect(host.textContent).toContain(text);
  }, 10_000);
  return host.textContent ?? "";
}

vi.setConfig({ testTimeout: 30_000 });

test("a loaded task shows its report, rejects, receipt and starter queries", async () => {
  const text = await open("ab12");
  for (const expected of ["sales.csv", "34 of 40 rows can be loaded.", "separated by semicolon", "20 distinct", "15 %", "Rows per day", "sluice-1", "Fix them."]) {
    expect(text).toContain(expected);
  }
  expect(host.querySelector("[data-drift=ADDED]")).not.toBeNull();
  expect(host.querySelector("[data-stage=receive]")?.textContent).toContain("1 s");
  expect(host.querySelector("[data-code=MANY_REJECTS]")).not.toBeNull();
});

test("a planned task shows its plan", async () => {
  shown = { ...(task as NonNullable<typeof task>), status: "PLANNED", completedAt: null, loadState: null, rowCount: null };
  const text = await open("BIGINT → DOUBLE");
  expect(text).toContain("Replaces about 2 rows of sales by 3 rows.");
});

test("a failed task shows why, and a document that fails shows its problem", async () => {
  shown = { ...(task as NonNullable<typeof task>), status: "FAILED", warnings: [], failure: CACHED };
  await open("Fix them.");
  expect(host.querySelector("[data-code=MANY_REJECTS]")).not.toBeNull();
  act(() => root.unmount());
  host.remove();
  shown = task;
  failing = new Set(["Receipt"]);
  await open("The object store does not respond.");
  expect(host.querySelector("[data-code=STORAGE_UNAVAILABLE]")).not.toBeNull();
});
