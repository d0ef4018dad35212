// The task states of task.proto. A unit test of the services compares the two.

export type Group = "running" | "loaded" | "bad";

interface State {
  group: Group;
  tone: "busy" | "warn" | "good" | "bad" | "quiet";
  /** The stage that runs, or waits, in this state. */
  stage?: string;
}

export const STATES: Record<string, State | undefined> = {
  PENDING: { group: "running", tone: "busy", stage: "receive" },
  UPLOADED: { group: "running", tone: "busy" },
  VALIDATING: { group: "running", tone: "busy", stage: "validate" },
  PLANNED: { group: "running", tone: "warn", stage: "plan" },
  INGESTING: { group: "running", tone: "busy", stage: "ingest" },
  VERIFYING: { group: "running", tone: "busy", stage: "verify" },
  CLEANING: { group: "running", tone: "busy", stage: "clean" },
  SUCCEEDED: { group: "loaded", tone: "good" },
  REJECTED: { group: "bad", tone: "bad" },
  FAILED: { group: "bad", tone: "bad" },
  CANCELLED: { group: "bad", tone: "quiet" },
  TIMEOUT: { group: "bad", tone: "bad" },
};

/** The names of the states in a group. */
export const statesOf = (group: Group): string[] =>
  Object.keys(STATES).filter((name) => STATES[name]?.group === group);
