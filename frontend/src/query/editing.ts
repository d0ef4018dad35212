// How text gets into the editor: typed, completed, or put there by a button or a link.
import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, isolateHistory } from "@codemirror/commands";
import { keymap, type EditorView } from "@codemirror/view";

/** Keys, undo and completion. Enter takes a completion only once the arrow keys have chosen one. */
export const editing = () => [
  keymap.of([...completionKeymap, ...historyKeymap, ...defaultKeymap]),
  history(),
  closeBrackets(),
  autocompletion({ icons: false, selectOnOpen: false }),
];

/** Puts a text in place of all that is there, as one step that undo takes back. */
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
