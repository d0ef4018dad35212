// @vitest-environment jsdom
import {
  CompletionContext,
  completionStatus,
  currentCompletions,
  moveCompletionSelection,
  startCompletion,
  type CompletionResult,
  type CompletionSource,
} from "@codemirror/autocomplete";
import { undo, redo } from "@codemirror/commands";
import { EditorState } from "@codemirror/state";
import { EditorView, runScopeHandlers } from "@codemirror/view";
import { afterEach, expect, test, vi } from "vitest";
import { language, writesNewName } from "./completion";
import { editing, putText } from "./editing";

const TABLES = { sales: [{ name: "net", type: "DOUBLE" }, { name: "note", type: "VARCHAR" }] };

let view: EditorView | undefined;
afterEach(() => view?.destroy());

const stateOf = (doc: string) =>
  EditorState.create({
    doc,
    selection: { anchor: doc.length },
    extensions: [editing(), language(TABLES)],
  });

function opened(doc: string): EditorView {
  view = new EditorView({ state: stateOf(doc), parent: document.body });
  return view;
}

const textOf = (of: EditorView) => of.state.doc.toString();

function type(into: EditorView, text: string) {
  for (const each of text) {
    const { from, to } = into.state.selection.main;
    into.dispatch({
      changes: { from, to, insert: each },
      selection: { anchor: from + 1 },
      userEvent: "input.type",
    });
  }
}

function press(into: EditorView, key: string, code: number): boolean {
  return runScopeHandlers(into, new KeyboardEvent("keydown", { key, keyCode: code }), "editor");
}

/** Completions at the end of a text. */
function proposed(doc: string, explicit = false): string[] {
  const state = stateOf(doc);
  const context = new CompletionContext(state, doc.length, explicit);
  return state
    .languageDataAt<CompletionSource>("autocomplete", doc.length)
    .map((source) => source(context) as CompletionResult | null)
    .flatMap((result) => result?.options.map(({ label }) => label) ?? []);
}

const proposals = (of: EditorView) =>
  vi.waitFor(() => {
    expect(completionStatus(of.state)).toBe("active");
    expect(currentCompletions(of.state).length).toBeGreaterThan(0);
  });

/** Completion ignores keys in its first moments. */
const aMoment = () => new Promise((done) => setTimeout(done, 120));

test("Enter and Tab accept no completion that was not selected", async () => {
  const editor = opened("SELECT COUNT(*) ");
  type(editor, "n");
  await proposals(editor);
  await aMoment();
  expect(press(editor, "Tab", 9)).toBe(false);
  press(editor, "Enter", 13);
  type(editor, "FROM");
  expect(textOf(editor).replace(/\s+/g, " ")).toBe("SELECT COUNT(*) n FROM");
});

test("Enter accepts the completion that the arrow keys selected", async () => {
  const editor = opened("SELECT ne");
  startCompletion(editor);
  await proposals(editor);
  await aMoment();
  moveCompletionSelection(true)(editor);
  const label = currentCompletions(editor.state)[0]?.label;
  press(editor, "Enter", 13);
  expect(textOf(editor)).toBe(`SELECT ${label}`);
});

test.each([
  "SELECT COUNT(*) AS n",
  "SELECT COUNT(*) as ",
  'SELECT COUNT(*) AS "',
  'SELECT COUNT(*) AS "ne',
  'SELECT COUNT(*) AS "net or ne',
  "SELECT COUNT(*) AS /* how many */ n",
  "SELECT COUNT(*) AS -- how many\n n",
  "SELECT * FROM (SELECT net AS n",
  "SELECT * FROM (SELECT CAST(net AS DOUBLE) AS n",
  "SELECT COUNT(*) AS select",
])("nothing is proposed for the new name in %j", (doc) => {
  expect(proposed(doc)).toEqual([]);
  expect(proposed(doc, true)).toEqual([]);
});

test.each([
  ["SEL", "SELECT"],
  ["SELECT COUNT(*) AS n FR", "FROM"],
  ["SELECT COUNT(*) A", "AS"],
  ["SELECT net -- known as\n FR", "FROM"],
  ["SELECT 'known as' FR", "FROM"],
  ["SELECT CAST(net AS DOU", "DOUBLE"],
  ["WITH a AS (SEL", "SELECT"],
  ["SELECT basis s", "sales"],
  ['SELECT * FROM "sa', "sales"],
  ["SELECT sales.n", "net"],
  ["SELECT net AS n FROM sal", "sales"],
])("elsewhere completion goes on: %j", (doc, label) => {
  expect(proposed(doc).map((each) => each.replaceAll('"', ""))).toContain(label);
});

test("a new name after AS is recognized with its closing quote", () => {
  const doc = 'SELECT 1 AS "n" FROM sales';
  expect(writesNewName(stateOf(doc), doc.indexOf('n"') + 1)).toBe(true);
  expect(writesNewName(stateOf(doc), doc.indexOf("FROM") + 2)).toBe(false);
});

test("no list opens while an alias is typed, and Enter starts a line", async () => {
  const editor = opened("SELECT COUNT(*) ");
  type(editor, "AS n");
  await aMoment();
  await aMoment();
  expect(currentCompletions(editor.state)).toEqual([]);
  press(editor, "Enter", 13);
  type(editor, "FROM");
  expect(textOf(editor).replace(/\s+/g, " ")).toBe("SELECT COUNT(*) AS n FROM");
});

test("replacing the text is one step, and undo restores the typed text", () => {
  const editor = opened("");
  type(editor, "SELECT 1");
  putText(editor, "SELECT 2");
  expect(textOf(editor)).toBe("SELECT 2");
  expect(editor.state.selection.main.head).toBe("SELECT 2".length);
  type(editor, "3");
  undo(editor);
  expect(textOf(editor)).toBe("SELECT 2");
  undo(editor);
  expect(textOf(editor)).toBe("SELECT 1");
  redo(editor);
  expect(textOf(editor)).toBe("SELECT 2");
});

test("replacing a text by itself is no step", () => {
  const editor = opened("SELECT 1");
  putText(editor, "SELECT 1");
  expect(undo(editor)).toBe(false);
});
