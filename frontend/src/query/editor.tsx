// The SQL editor. In a shadow root its styles are constructed style sheets, which the content security policy allows.
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import { t } from "../texts";
import { language } from "./completion";
import { editing, putText } from "./editing";
import type { Tables } from "./tables";

const COLOURS = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-keyword)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
]);

const LOOK = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "transparent", fontSize: "15px" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "12px 14px", minHeight: "104px", caretColor: "var(--accent)" },
  ".cm-scroller": { maxHeight: "320px", lineHeight: "1.55" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  ".cm-selectionBackground, &.cm-focused .cm-selectionBackground, .cm-content ::selection": { backgroundColor: "var(--accent-soft)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", border: "1px solid var(--line)", borderRadius: "8px", overflow: "hidden" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
});

/** A text that a button or a link puts into the editor, and the text that it replaces. */
export interface Put {
  text: string;
  over: string;
}

interface Props {
  /** The initial text. Later the editor owns its text, so that an older state never overwrites
   *  what was typed meanwhile. */
  first: string;
  /** Each new value replaces the text in a single undo step. */
  put: Put | undefined;
  onChange: (value: string) => void;
  onRun: (value: string) => void;
  tables: Tables | undefined;
}

export default function Editor({ first, put, onChange, onRun, tables }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const known = useRef(new Compartment());
  const calls = useRef({ onChange, onRun });
  const begin = useRef({ first, put, tables });
  useEffect(() => {
    calls.current = { onChange, onRun };
  });

  useEffect(() => {
    if (!host.current) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        // Undo restores the text that a link replaced.
        doc: begin.current.put?.over || begin.current.first,
        extensions: [
          keymap.of([
            {
              key: "Mod-Enter",
              run: ({ state }) => {
                calls.current.onRun(state.doc.toString());
                return true;
              },
            },
          ]),
          editing(),
          known.current.of(language(begin.current.tables)),
          syntaxHighlighting(COLOURS),
          placeholder('SELECT region, SUM(revenue) FROM "sales" GROUP BY 1'),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": t.query.sql, spellcheck: "false", autocapitalize: "off" }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) calls.current.onChange(update.state.doc.toString());
          }),
          LOOK,
        ],
      }),
    });
    putText(made, begin.current.first);
    view.current = made;
    return () => made.destroy();
  }, []);

  useEffect(() => {
    view.current?.dispatch({ effects: known.current.reconfigure(language(tables)) });
  }, [tables]);

  useEffect(() => {
    if (!view.current || !put || put === begin.current.put) return;
    putText(view.current, put.text);
    // Focused, so that the undo key restores what was typed.
    view.current.focus();
  }, [put]);

  return <div ref={host} className="editor" data-testid="editor" />;
}
