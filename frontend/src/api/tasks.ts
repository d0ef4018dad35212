// Reading, following and changing tasks.
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
import { AWAY, findingOf, post, Problem, type Finding } from "./rest";
import { ended, type Task } from "./task";

export const taskPath = (id: string): string => `/api/ingest/tasks/${encodeURIComponent(id)}`;

const POLL_MS = 3000;
const CALM_POLL_MS = 10_000;
const RESUBSCRIBE_MS = 3000;

export interface Live {
  task: Task | null | undefined;
  problem: Finding | undefined;
  live: boolean;
}

/** What speaks against an answer. While there is an older one, that the server is away is said above the page. */
function problemOf(error: unknown, older: unknown): Finding | undefined {
  const problem = error ? findingOf(error) : undefined;
  return older && problem?.code === AWAY.code ? undefined : problem;
}

/** In these its place in the queue and the time left change without an event. */
const MOVING = new Set(["UPLOADED", "VALIDATING", "INGESTING", "VERIFYING"]);

/** A task as it is now: told by subscription; asked for every 3 s while there is none, or while time runs. */
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
    const again = () => {
      setSubscribed(false);
      if (!stopped) timer = setTimeout(start, RESUBSCRIBE_MS);
    };
    const start = () => {
      // What it tells is written into the cache, where the query above sees it.
      current = client
        .subscribe({ query: TaskChangesDocument, variables: { taskId } })
        .subscribe({ next: ({ error: failed }) => setSubscribed(!failed), error: again, complete: again });
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

  return { task, problem: problemOf(error, task), live };
}

export interface TaskList {
  tasks: Task[] | undefined;
  problem: Finding | undefined;
  reload: () => void;
}

export interface Wanted {
  status?: string[] | undefined;
  text?: string | undefined;
  dataSourceName?: string | undefined;
}

const SETTLE_MS = 300;

/** A page of tasks, newest first: told of every change by subscription, and asked for again from time to time. */
export function useTasks(limit: number, offset = 0, { status, text, dataSourceName }: Wanted = {}): TaskList {
  const [subscribed, setSubscribed] = useState(false);
  const live = useConnection() === "found" && subscribed;
  const { data, previousData, error, startPolling, stopPolling, refetch } = useQuery(TasksDocument, {
    variables: { limit, offset, status: status ?? null, text: text || null, dataSourceName: dataSourceName ?? null },
    fetchPolicy: "cache-and-network",
  });
  const tasks = (data ?? previousData)?.listIngestionTasks?.filter((task) => task !== null);

  useEffect(() => {
    let stopped = false;
    let again: ReturnType<typeof setTimeout> | undefined;
    let settle: ReturnType<typeof setTimeout> | undefined;
    let current: { unsubscribe: () => void } | undefined;
    const later = () => {
      setSubscribed(false);
      if (!stopped) again = setTimeout(start, RESUBSCRIBE_MS);
    };
    const start = () => {
      current = client.subscribe({ query: AnyTaskChangesDocument }).subscribe({
        next: ({ error: failed }) => {
          setSubscribed(!failed);
          // Known tasks have changed in the cache by now; whether there are others, or they still match, the server knows.
          clearTimeout(settle);
          settle = setTimeout(() => void refetch().catch(() => undefined), SETTLE_MS);
        },
        error: later,
        complete: later,
      });
    };
    start();
    return () => {
      stopped = true;
      clearTimeout(again);
      clearTimeout(settle);
      current?.unsubscribe();
    };
  }, [refetch]);

  useEffect(() => {
    startPolling(live ? CALM_POLL_MS : POLL_MS);
    return stopPolling;
  }, [live, startPolling, stopPolling]);

  return { tasks, problem: problemOf(error, tasks), reload: () => void refetch() };
}

/** What was asked of the server, or the Problem that speaks against it. */
async function change<T, V extends { taskId: string | number }>(mutation: TypedDocumentNode<T, V>, variables: V): Promise<T> {
  const { data } = await client.mutate({ mutation, variables } as ApolloClient.MutateOptions<T, V>);
  if (!data) throw new Problem(AWAY);
  return data as T;
}

export const cancelTask = (taskId: string) => change(CancelTaskDocument, { taskId });
export const deleteFiles = (taskId: string) => change(DeleteTaskFilesDocument, { taskId });

/** The new task's id. */
export const retryTask = async (taskId: string): Promise<string> => (await change(RetryTaskDocument, { taskId })).retryIngestionTask.taskId;

/** What REST does to a task the cache is told by reading the task again. */
async function act(taskId: string, action: string, body: unknown = {}): Promise<void> {
  await post(`${taskPath(taskId)}/${action}`, body);
  await client.query({ query: TaskDocument, variables: { taskId }, fetchPolicy: "network-only" });
}

/** Begins to undo a load. */
export const revertTask = (taskId: string): Promise<void> => act(taskId, "revert");

/** Begins the load of a PLANNED task, if this is still its plan. */
export const applyPlan = (taskId: string, planHash: string): Promise<void> => act(taskId, "apply", { plan_hash: planHash });

/** Reads the stored file again in another way: the new task's id. */
export async function revalidateTask(taskId: string, options: object): Promise<string> {
  const made = await post<{ task_id: string }>(`${taskPath(taskId)}/revalidate`, { options });
  return made.task_id;
}
