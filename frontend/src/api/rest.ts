// The REST door: JSON in, JSON out, and every failure as one kind of error.
import { useCallback, useEffect, useRef, useState } from "react";
import { t } from "../texts";
import { connection } from "./connection";

/** What is wrong, where, and what to do: the same shape in every door of the server. */
export interface Finding {
  code: string;
  message: string;
  line: number | null;
  column: string | null;
  value: string | null;
  action: string;
  actor: string;
}

export class Problem extends Error {
  constructor(readonly finding: Finding) {
    super(finding.message);
  }
}

export const AWAY: Finding = { code: "SERVER_AWAY", line: null, column: null, value: null, actor: "nobody", ...t.away };

/** Whether asking again may help without anybody doing anything. */
export const passes = (finding: Finding): boolean => finding.actor === "nobody";

/** Whether the same can be asked once more: after a while, or after a new sign-in. */
export const lasts = (finding: Finding): boolean => passes(finding) || finding.code === "UNAUTHENTICATED";

export function isFinding(value: unknown): value is Finding {
  return typeof value === "object" && value !== null && "code" in value && "message" in value;
}

export const findings = (value: unknown): Finding[] => (Array.isArray(value) ? value.filter(isFinding) : []);

/** The finding that an answer's text is, if it is one. */
export function fromText(text: string | undefined): Finding | undefined {
  try {
    const body: unknown = JSON.parse(text ?? "null");
    return isFinding(body) ? body : undefined;
  } catch {
    // No answer of the server, but of something between.
    return undefined;
  }
}

/** The finding behind anything that was thrown, also inside Apollo's errors. */
export function findingOf(thrown: unknown): Finding {
  if (thrown instanceof Problem) return thrown.finding;
  const errors = (thrown as { errors?: { message: string; extensions?: Record<string, unknown> }[] } | null)?.errors;
  const told = errors?.[0];
  if (told) return { ...AWAY, ...told.extensions, message: told.message } as Finding;
  // Where the request was refused before GraphQL had it, the finding is the whole answer.
  return fromText((thrown as { bodyText?: string } | null)?.bodyText) ?? AWAY;
}

/** JSON whose whole numbers beyond 2^53 stay exact: as text, where the browser shows the source of a number. */
export function parseExact(text: string): unknown {
  const revive = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? context.source : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

export async function request(path: string, init?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (failure) {
    if (init?.signal?.aborted) throw failure;
    connection.lost();
    throw new Problem(AWAY);
  }
  connection.found();
  if (answer.ok) return answer;
  throw new Problem(fromText(await answer.text().catch(() => undefined)) ?? AWAY);
}

export async function read<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await request(path, init);
  try {
    return parseExact(await answer.text()) as T;
  } catch {
    throw new Problem(AWAY);
  }
}

export const post = <T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> =>
  read<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });

const RETRY_MS = 3000;

export interface Loaded<T> {
  data: T | undefined;
  problem: Finding | undefined;
  reload: () => void;
}

/** What GET answers at `path` (null: nothing is asked). What passes by itself is asked for again. */
export function useRead<T>(path: string | null): Loaded<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; problem?: Finding }>({ path });
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  const latest = useRef(path);
  useEffect(() => {
    latest.current = path;
    if (!path) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    read<T>(path, { signal: stop.signal }).then(
      (data) => setState({ path, data }),
      (thrown: unknown) => {
        if (stop.signal.aborted) return;
        const problem = findingOf(thrown);
        setState((before) => (before.path === path ? { ...before, problem } : { path, problem }));
        if (passes(problem)) timer = setTimeout(reload, RETRY_MS);
      },
    );
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [path, round, reload]);
  const current = state.path === path ? state : undefined;
  return { data: current?.data, problem: current?.problem, reload };
}
