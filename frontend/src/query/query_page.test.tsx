// @vitest-environment jsdom
import { undo } from "@codemirror/commands";
import { EditorView } from "@codemirror/view";
import { act, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Answer } from "./answer";

const { ask } = vi.hoisted(() => ({ ask: vi.fn() }));
vi.mock("./answer", async (actual) => ({ ...(await actual<object>()), ask }));

const { default: QueryPage } = await import("./query_page");

const answer = (rows: unknown[][]): Answer => ({
  columns: [],
  rows,
  row_count: rows.length,
  truncated: false,
  elapsed_ms: 1,
});
vi.setConfig({ testTimeout: 20_000 });

const DRAFT = "SELECT 'typed'";
const LINKED = "SELECT 'linked'";
const NEWEST = 'SELECT *\nFROM "sales"\nORDER BY __time DESC\nLIMIT 100';

/** Queries that ran, without the one that lists the tables. */
const queries = () =>
  ask.mock.calls.map(([sql]) => sql as string).filter((sql) => !sql.includes("INFORMATION_SCHEMA"));

let root: Root;
let host: HTMLElement;

beforeEach(() => {
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  vi.stubGlobal("isSecureContext", false);
  // jsdom has no layout.
  document.execCommand = () => false;
  Range.prototype.getClientRects = () => [] as unknown as DOMRectList;
  sessionStorage.clear();
  ask.mockReset();
  ask.mockImplementation((sql: string) =>
    Promise.resolve(answer(sql.includes("INFORMATION_SCHEMA") ? [["sales", "net", "DOUBLE"]] : [])),
  );
});
afterEach(() => {
  act(() => root.unmount());
  host.remove();
});

async function opened(address: string): Promise<EditorView> {
  history.replaceState(null, "", address);
  host = document.body.appendChild(document.createElement("div"));
  root = createRoot(host);
  act(() => root.render(<StrictMode><QueryPage /></StrictMode>));
  let view: EditorView | null = null;
  await vi.waitFor(async () => {
    await act(() => new Promise((done) => setTimeout(done, 10)));
    const inside = host.querySelector(".editor")?.shadowRoot?.querySelector(".cm-editor");
    view = inside ? EditorView.findFromDOM(inside as HTMLElement) : null;
    expect(view).not.toBeNull();
    expect(host.querySelector("details")).not.toBeNull();
  }, 10_000);
  return view as unknown as EditorView;
}

const settled = () => act(() => new Promise((done) => setTimeout(done, 30)));
const textOf = (view: EditorView) => view.state.doc.toString();
const editor = () => {
  const inside = host.querySelector(".editor")?.shadowRoot?.querySelector(".cm-editor");
  return EditorView.findFromDOM(inside as HTMLElement) as EditorView;
};

async function press(name: string) {
  const found = [...host.querySelectorAll("button")].find((each) => each.textContent === name);
  act(() => found?.click());
  await settled();
}

test("a typed query runs once", async () => {
  const view = await opened("/query");
  act(() => view.dispatch({ changes: { from: 0, insert: DRAFT } }));
  await press("Run");
  expect(queries()).toEqual([DRAFT]);
  expect(new URLSearchParams(location.search).get("sql")).toBe(DRAFT);
});

test("a linked query runs once", async () => {
  await opened(`/query?sql=${encodeURIComponent(LINKED)}`);
  await settled();
  expect(queries()).toEqual([LINKED]);
});

test("'Newest rows' replaces the draft, and undo restores it", async () => {
  const view = await opened("/query");
  act(() => view.dispatch({ changes: { from: 0, insert: DRAFT } }));
  await press("Newest rows");
  expect(textOf(editor())).toBe(NEWEST);
  act(() => void undo(editor()));
  expect(textOf(editor())).toBe(DRAFT);
  await press("Run");
  expect(queries()).toEqual([DRAFT]);
});

test("a link does not destroy the draft: undo restores it", async () => {
  sessionStorage.setItem("sluice.sql", DRAFT);
  const view = await opened(`/query?sql=${encodeURIComponent(LINKED)}`);
  expect(textOf(view)).toBe(LINKED);
  expect(sessionStorage.getItem("sluice.sql")).toBe(DRAFT);
  act(() => void undo(view));
  expect(textOf(editor())).toBe(DRAFT);
});

test("a new query in the address is shown and runs, and undo restores the draft", async () => {
  const view = await opened("/query");
  act(() => view.dispatch({ changes: { from: 0, insert: DRAFT } }));
  act(() => history.pushState(null, "", `/query?sql=${encodeURIComponent(LINKED)}`));
  await settled();
  expect(textOf(editor())).toBe(LINKED);
  expect(queries()).toEqual([LINKED]);
  act(() => void undo(editor()));
  expect(textOf(editor())).toBe(DRAFT);
});
