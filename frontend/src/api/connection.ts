// Whether the server responded to the last request.
import { useSyncExternalStore } from "react";

type State = "found" | "lost";
let state: State = "found";
const listeners = new Set<() => void>();

function setState(next: State): void {
  if (state === next) return;
  state = next;
  for (const listener of listeners) listener();
}

const PROBE_MS = 2000;
let probe: ReturnType<typeof setTimeout> | undefined;

/** Probes the server until it responds; the current page may not send requests of its own. */
function startProbe(): void {
  probe = setTimeout(() => {
    fetch("/healthz").then(() => connection.found(), startProbe);
  }, PROBE_MS);
}

export const connection = {
  found() {
    clearTimeout(probe);
    setState("found");
  },
  lost() {
    if (state === "lost") return;
    setState("lost");
    startProbe();
  },
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
  /** Resolves when the server responds. */
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
