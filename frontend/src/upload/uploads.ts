// The files that were dropped and are not yet a task. They live as long as the tab, whatever page is shown.
import { useSyncExternalStore } from "react";
import { findingOf, type Finding } from "../api/rest";
import { uuid } from "../format";
import { suggestDatasource } from "./names";
import { send, type Sending } from "./send";

export interface Upload {
  id: string;
  file: File;
  datasource: string;
  mode: "append" | "replace";
  allowDuplicate: boolean;
  state: "ready" | "sending" | "sent" | "failed" | "stopped";
  /** Bytes sent, and when sending began (milliseconds since 1970). */
  sent: number;
  began: number;
  key: string;
  taskId?: string;
  problem?: Finding | undefined;
}

let uploads: Upload[] = [];
const listeners = new Set<() => void>();
const running = new Map<string, Sending>();

function show(next: Upload[]): void {
  uploads = next;
  for (const listener of listeners) listener();
}

function change(id: string, changes: Partial<Upload>): void {
  show(uploads.map((upload) => (upload.id === id ? { ...upload, ...changes } : upload)));
}

export function addUpload(file: File, datasource = suggestDatasource(file.name)): string {
  const id = uuid();
  const made: Upload = { id, file, datasource, mode: "append", allowDuplicate: false, state: "ready", sent: 0, began: 0, key: id };
  show([...uploads, made]);
  return id;
}

/** Other wishes make another sending of it: it gets a key of its own. */
export function setWish(id: string, wish: Partial<Pick<Upload, "datasource" | "mode" | "allowDuplicate">>): void {
  change(id, { ...wish, key: uuid() });
}

export async function startUpload(id: string): Promise<string | undefined> {
  const upload = uploads.find((each) => each.id === id);
  if (!upload || upload.state === "sending") return undefined;
  change(id, { state: "sending", sent: 0, began: Date.now(), problem: undefined });
  const sending = send(upload, (sent) => change(id, { sent }));
  running.set(id, sending);
  try {
    const taskId = await sending.done;
    change(id, { state: "sent", taskId });
    return taskId;
  } catch (failure) {
    if (failure instanceof DOMException) change(id, { state: "stopped", key: uuid() });
    else change(id, { state: "failed", problem: findingOf(failure) });
    return undefined;
  } finally {
    running.delete(id);
  }
}

export const stopUpload = (id: string): void => running.get(id)?.stop();

export function removeUpload(id: string): void {
  stopUpload(id);
  show(uploads.filter((upload) => upload.id !== id));
}

export function useUploads(): Upload[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    () => uploads,
  );
}

addEventListener("beforeunload", (event) => {
  // The browser asks before it throws away what is being sent.
  if (running.size) event.preventDefault();
});
