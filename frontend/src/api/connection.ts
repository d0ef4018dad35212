// Whether the server answers, as seen by whatever was last asked of it.
import { useSyncExternalStore } from "react";

type State = "found" | "lost";
let state: State = "found";
const listeners = new Set<() => void>();

function become(next: State): void {
  if (state === next) return;
  state = next;
  for (const listener of listeners) listener();
}

export const connection = {
  found: () => become("found"),
  lost: () => become("lost"),
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
  state: () => state,
};

export const useConnection = (): State => useSyncExternalStore(connection.subscribe, connection.state);
