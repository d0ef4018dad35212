// Reading, following and changing tasks.
import { useEffect, useState } from "react";
import { useQuery } from "@apollo/client/react";
import { client } from "./client";
import { useConnection } from "./connection";
import { TaskChangesDocument, TaskDocument, TasksDocument } from "./generated";
import { findingOf, post, type Finding } from "./rest";
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

/** A task as it is now: told by subscription; asked for every 3 s while there is none. */
export function useTask(taskId: string): Live {
  const connected = useConnection() === "found";
  const [subscribed, setSubscribed] = useState(false);
  const live = subscribed && connected;
  const { data, error, stopPolling, startPolling } = useQuery(TaskDocument, { variables: { taskId }, fetchPolicy: "cache-and-network" });
  const task = data?.getIngestionTaskStatus;
  const over = task ? ended(task) : data !== undefined;

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
    if (over || live) stopPolling();
    else startPolling(POLL_MS);
    return stopPolling;
  }, [over, live, startPolling, stopPolling]);

  return { task, problem: error && !task ? findingOf(error) : undefined, live };
}

export interface TaskList {
  tasks: Task[] | undefined;
  problem: Finding | undefined;
  reload: () => void;
}

/** A page of tasks, newest first, asked for again while it is looked at. */
export function useTasks(limit: number, offset = 0): TaskList {
  const { data, error, startPolling, stopPolling, refetch } = useQuery(TasksDocument, {
    variables: { limit, offset },
    fetchPolicy: "cache-and-network",
  });
  const tasks = data?.listIngestionTasks?.filter((task) => task !== null);
  const busy = !tasks || tasks.some((task) => !ended(task));
  useEffect(() => {
    startPolling(busy ? POLL_MS : CALM_POLL_MS);
    return stopPolling;
  }, [busy, startPolling, stopPolling]);
  return { tasks, problem: error && !tasks ? findingOf(error) : undefined, reload: () => void refetch() };
}

export async function cancelTask(taskId: string): Promise<void> {
  await post(`${taskPath(taskId)}/cancel`);
  await client.query({ query: TaskDocument, variables: { taskId }, fetchPolicy: "network-only" });
}
