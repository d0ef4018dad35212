// REST: JSON in, JSON out; every failure is a ProblemError.
import { connection } from "./connection";
import { useLoaded, type Loaded } from "./loaded";
import { parseProblem, ProblemError, SERVER_AWAY } from "./problems";

/** Parses JSON; whole numbers beyond 2^53 become texts where the browser provides the source of a number. */
export function parseExact(text: string): unknown {
  const revive = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? context.source : value;
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

export async function request(path: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (failure) {
    if (init?.signal?.aborted) throw failure;
    connection.lost();
    throw new ProblemError(SERVER_AWAY);
  }
  connection.found();
  if (response.ok) return response;
  throw new ProblemError(parseProblem(await response.text().catch(() => undefined)) ?? SERVER_AWAY);
}

export async function read<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await request(path, init);
  try {
    return parseExact(await response.text()) as T;
  } catch {
    throw new ProblemError(SERVER_AWAY);
  }
}

export const post = <T>(path: string, body: unknown = {}, signal?: AbortSignal): Promise<T> =>
  read<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });

/** The response of GET `path`; null: requests nothing. */
export const useRead = <T>(path: string | null): Loaded<T> => useLoaded(path, (signal) => read<T>(path ?? "", { signal }));
