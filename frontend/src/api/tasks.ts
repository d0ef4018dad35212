// Reads, follows and changes tasks.
import { useEffect, useState } from "react";
import type { ApolloClient, TypedDocumentNode } from "@apollo/client";
import { useQuery } from "@apollo/client/react";
import { client } from "./client";
import { useConnection } from "./connection";
import {
  AnyTaskChangesDocument,
  CancelTaskDocument,
  DeleteTaskFilesDocument,
  RetryTaskDocument,
  TaskChangesDocument,
  TaskDocument,
  TasksDocument,
} from "./generated";
import { type Problem, ProblemError, problemOf, SERVER_AWAY } from "./problems";
import { post } from "./rest";
import { ended, type Task, type TaskRow } from "./task";

export const taskPath = (id: string): string => `/api/ingest/tasks/${encodeURIComponent(id)}`;

const POLL_MS = 3000;
const LIVE_POLL_MS = 10_000;
const RESUBSCRIBE_MS = 3000;

export interface Live {
  task: Task | null | undefined;
  problem: Problem | undefined;
  live: boolean;
}

/** The problem to show. With older data on the page, its header already says that the server is away. */
function shownProblem(error: unknown, older: unknown): Problem | undefined {
  const problem = error ? problemOf(error) : undefined;
  return older && problem?.code === SERVER_AWAY.code ? undefined : problem;
}

/** States in which queue position and remaining time change without an event. */
const MOVING = new Set(["UPLOADED", "VALIDATING", "INGESTING", "VERIFYING"]);

/** A task, live by subscription; polled while the subscription is down or the state is MOVING. */
export function useTask(taskId: string): Live {
  const connected = useConnection() === "found";
  const [subscribed, setSubscribed] = useState(false);
  const live = subscribed && connected;
  const { data, error, stopPolling, startPolling } = useQuery(TaskDocument, { variables: { taskId }, fetchPolicy: "cache-and-network" });
  const task = data?.getIngestionTaskStatus;
  const over = task ? ended(task) : data !== undefined;
  const moving = MOVING.has(task?.status ?? "");

  useEffect(() => {
    if (over) return;
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let current: { unsubscribe: () => void } | undefined;
    const resubscribe = () => {
      setSubscribed(false);
      if (!stopped) timer = setTimeout(start, RESUBSCRIBE_MS);
    };
    const start = () => {
      // Apollo writes updates into the cache, which the query above observes.
      current = client
        .subscribe({ query: TaskChangesDocument, variables: { taskId } })
        .subscribe({ next: ({ error: failed }) => setSubscribed(!failed), error: resubscribe, complete: resubscribe });
    };
    start();
    return () => {
      stopped = true;
      clearTimeout(timer);
      current?.unsubscribe();
    };
  }, [taskId, over]);

  useEffect(() => {
    if (over || (live && !moving)) stopPolling();
    else startPolling(POLL_MS);
    return stopPolling;
  }, [over, live, moving, startPolling, stopPolling]);

  return { task, problem: shownProblem(error, task), live };
}

export interface TaskList {
  tasks: TaskRow[] | undefined;
  problem: Problem | undefined;
  reload: () => void;
}

export interface TaskFilter {
  status?: string[] | undefined;
  text?: string | undefined;
  dataSourceName?: string | undefined;
}

const SETTLE_MS = 300;

/** A page of tasks, newest first; live by subscription, and polled. */
export function useTasks(limit: number, offset = 0, { status, text, dataSourceName }: TaskFilter = {}): TaskList {
  const [subscribed, setSubscribed] = useState(false);
  const live = useConnection() === "found" && subscribed;
  const { data, previousData, error, startPolling, stopPolling, refetch } = useQuery(TasksDocument, {
    variables: { limit, offset, status: status ?? null, text: text || null, dataSourceName: dataSourceName ?? null },
    fetchPolicy: "cache-and-network",
  });
  const tasks = (data ?? previousData)?.listIngestionTasks?.filter((task) => task !== null);

  useEffect(() => {
    let stopped = false;
    let retry: ReturnType<typeof setTimeout> | undefined;
    let settle: ReturnType<typeof setTimeout> | undefined;
    let current: { unsubscribe: () => void } | undefined;
    const resubscribe = () => {
      setSubscribed(false);
      if (!stopped) retry = setTimeout(start, RESUBSCRIBE_MS);
    };
    const start = () => {
      current = client.subscribe({ query: AnyTaskChangesDocument }).subscribe({
        next: ({ error: failed }) => {
          setSubscribed(!failed);
          // The cache has the new state of known tasks; only the server knows which tasks match now.
          clearTimeout(settle);
          settle = setTimeout(() => void refetch().catch(() => undefined), SETTLE_MS);
        },
        error: resubscribe,
        complete: resubscribe,
      });
    };
    start();
    return () => {
      stopped = true;
      clearTimeout(retry);
      clearTimeout(settle);
      current?.unsubscribe();
    };
  }, [refetch]);

  useEffect(() => {
    startPolling(live ? LIVE_POLL_MS : POLL_MS);
    return stopPolling;
  }, [live, startPolling, stopPolling]);

  return { tasks, problem: shownProblem(error, tasks), reload: () => void refetch() };
}

/** Runs a mutation; throws a ProblemError. */
async function mutate<T, V extends { taskId: string | number }>(mutation: TypedDocumentNode<T, V>, variables: V): Promise<T> {
  const { data } = await client.mutate({ mutation, variables } as ApolloClient.MutateOptions<T, V>);
  if (!data) throw new ProblemError(SERVER_AWAY);
  return data as T;
}

export const cancelTask = (taskId: string) => mutate(CancelTaskDocument, { taskId });
export const deleteFiles = (taskId: string) => mutate(DeleteTaskFilesDocument, { taskId });

/** Returns the id of the new task. */
export const retryTask = async (taskId: string): Promise<string> => (await mutate(RetryTaskDocument, { taskId })).retryIngestionTask.taskId;

/** Calls an action of REST, then reads the task again into the cache. */
async function act(taskId: string, action: string, body: unknown = {}): Promise<void> {
  await post(`${taskPath(taskId)}/${action}`, body);
  await client.query({ query: TaskDocument, variables: { taskId }, fetchPolicy: "network-only" });
}

/** Starts to undo a load. */
export const revertTask = (taskId: string): Promise<void> => act(taskId, "revert");

/** Starts the load of a PLANNED task if its plan has this hash. */
export const applyPlan = (taskId: string, planHash: string): Promise<void> => act(taskId, "apply", { plan_hash: planHash });

/** Reads the stored file again with other options; returns the id of the new task. */
export async function revalidateTask(taskId: string, options: object): Promise<string> {
  const made = await post<{ task_id: string }>(`${taskPath(taskId)}/revalidate`, { options });
  return made.task_id;
}
