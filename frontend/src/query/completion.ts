// Completion of SQL: tables, columns and keywords, but nothing where the user types a new name.
import type { CompletionContext, CompletionSource } from "@codemirror/autocomplete";
import { keywordCompletionSource, schemaCompletionSource, StandardSQL } from "@codemirror/lang-sql";
import { LanguageSupport, syntaxTree } from "@codemirror/language";
import type { EditorState } from "@codemirror/state";
import type { Tables } from "./tables";

type SyntaxNode = ReturnType<ReturnType<typeof syntaxTree>["resolveInner"]>;

const WORDS = new Set([
  "Identifier",
  "QuotedIdentifier",
  "Keyword",
  "Type",
  "Builtin",
  "Bool",
  "Null",
]);
const COMMENTS = new Set(["LineComment", "BlockComment"]);

/** The last token that ends at or before a position, ignoring comments. */
function tokenBefore(state: EditorState, place: number): SyntaxNode | undefined {
  for (let at = place; at > 0; ) {
    const node = syntaxTree(state).resolveInner(at, -1);
    if (COMMENTS.has(node.name)) at = node.from;
    else if (node.firstChild || node.type.isTop || node.from === node.to) at -= 1;
    else return node;
  }
  return undefined;
}

const textOf = (state: EditorState, node: SyntaxNode): string => state.sliceDoc(node.from, node.to);

/** Whether `AS` names a type, as in `CAST(price AS DOUBLE)`. */
function namesType(state: EditorState, as: SyntaxNode): boolean {
  const inside = as.parent;
  if (inside?.name !== "Parens") return false;
  const before = tokenBefore(state, inside.from);
  return before !== undefined && /cast$/i.test(textOf(state, before));
}

/** Whether a position is in a new name: the word directly after `AS`, quoted or not. */
export function writesNewName(state: EditorState, place: number): boolean {
  const node = syntaxTree(state).resolveInner(place, -1);
  const start = WORDS.has(node.name) ? node.from : place;
  const as = tokenBefore(state, start);
  return as !== undefined && /^as$/i.test(textOf(state, as)) && !namesType(state, as);
}

const exceptNewNames =
  (source: CompletionSource): CompletionSource =>
  (context: CompletionContext) =>
    writesNewName(context.state, context.pos) ? null : source(context);

/** SQL support with completion of these tables and their columns. */
export function language(tables: Tables | undefined): LanguageSupport {
  const schema: Record<string, string[]> = {};
  for (const [table, columns] of Object.entries(tables ?? {})) {
    schema[table] = columns.map(({ name }) => name);
  }
  const sources = [
    schemaCompletionSource({ dialect: StandardSQL, schema }),
    keywordCompletionSource(StandardSQL, true),
  ];
  return new LanguageSupport(
    StandardSQL.language,
    sources.map((each) => StandardSQL.language.data.of({ autocomplete: exceptNewNames(each) })),
  );
}
