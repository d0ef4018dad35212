// How text gets into the editor: by typing, by completion, from a button or from a link.
import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, isolateHistory } from "@codemirror/commands";
import { keymap, type EditorView } from "@codemirror/view";

/** Keys, undo and completion. Enter accepts a completion only after the arrow keys have selected one. */
export const editing = () => [
  keymap.of([...completionKeymap, ...historyKeymap, ...defaultKeymap]),
  history(),
  closeBrackets(),
  autocompletion({ icons: false, selectOnOpen: false }),
];

/** Replaces the whole text in a single undo step. */
export function putText(view: EditorView, text: string): void {
  const before = view.state.doc.toString();
  if (before === text) return;
  view.dispatch({
    changes: { from: 0, to: before.length, insert: text },
    selection: { anchor: text.length },
    annotations: isolateHistory.of("full"),
    scrollIntoView: true,
    userEvent: "input.put",
  });
}
