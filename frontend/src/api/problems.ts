// What is wrong, where, and what to do: one shape in REST and GraphQL.
import { t } from "../texts";
import type { ProblemFieldsFragment } from "./generated";

export type Problem = ProblemFieldsFragment;

export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

export const SERVER_AWAY: Problem = { code: "SERVER_AWAY", line: null, column: null, value: null, actor: "nobody", ...t.away };

/** Whether a retry may help although nobody acts. */
export const isTemporary = (problem: Problem): boolean => problem.actor === "nobody";

/** Whether the same request may succeed later, perhaps after a new sign-in. */
export const canRetry = (problem: Problem): boolean => isTemporary(problem) || problem.code === "UNAUTHENTICATED";

/** The problem in the body of a response, if it is one. */
export function parseProblem(text: string | undefined): Problem | undefined {
  try {
    const body = JSON.parse(text ?? "null") as Partial<Problem> | null;
    return body?.code !== undefined && body.message !== undefined ? (body as Problem) : undefined;
  } catch {
    // Not from the server, but from something in between.
    return undefined;
  }
}

/** The problem behind anything that was thrown, also in Apollo's errors. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof ProblemError) return thrown.problem;
  const errors = (thrown as { errors?: { message: string; extensions?: Record<string, unknown> }[] } | null)?.errors;
  const first = errors?.[0];
  if (first) return { ...SERVER_AWAY, ...first.extensions, message: first.message } as Problem;
  // A request that was rejected before GraphQL has the problem as its body.
  return parseProblem((thrown as { bodyText?: string } | null)?.bodyText) ?? SERVER_AWAY;
}
