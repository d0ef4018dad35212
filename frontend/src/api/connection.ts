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

const ASK_MS = 2000;
let asking: ReturnType<typeof setTimeout> | undefined;

/** Asks until the server answers, also where the page shown asks for nothing by itself. */
function ask(): void {
  asking = setTimeout(() => {
    fetch("/healthz").then(() => connection.found(), ask);
  }, ASK_MS);
}

export const connection = {
  found() {
    clearTimeout(asking);
    become("found");
  },
  lost() {
    if (state === "lost") return;
    become("lost");
    ask();
  },
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
  /** Once the server answers (again). */
  back: (): Promise<void> =>
    new Promise((resolve) => {
      if (state === "found") return resolve();
      const stop = connection.subscribe(() => {
        stop();
        resolve();
      });
    }),
  state: () => state,
};

export const useConnection = (): State => useSyncExternalStore(connection.subscribe, connection.state);
