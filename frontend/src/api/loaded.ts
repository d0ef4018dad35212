// Data of the server for a component: loaded, reloaded, and retried while its problem is temporary.
import { useCallback, useEffect, useRef, useState } from "react";
import { isTemporary, problemOf, type Problem } from "./problems";

const RETRY_MS = 3000;

export interface Loaded<T> {
  data: T | undefined;
  problem: Problem | undefined;
  reload: () => void;
}

/** The result of `load` for `key`; null: loads nothing. */
export function useLoaded<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string | null; data?: T; problem?: Problem }>({ key });
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  const latest = useRef(load);
  useEffect(() => {
    latest.current = load;
  });
  useEffect(() => {
    if (key === null) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    latest.current(stop.signal).then(
      (data) => {
        if (!stop.signal.aborted) setState({ key, data });
      },
      (thrown: unknown) => {
        if (stop.signal.aborted) return;
        const problem = problemOf(thrown);
        setState((before) => (before.key === key ? { ...before, problem } : { key, problem }));
        if (isTemporary(problem)) timer = setTimeout(reload, RETRY_MS);
      },
    );
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, round, reload]);
  const current = state.key === key ? state : undefined;
  return { data: current?.data, problem: current?.problem, reload };
}
