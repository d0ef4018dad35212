// Dropped files and their uploads. They live as long as the tab, whatever page it shows.
import { useSyncExternalStore } from "react";
import { canRetry, type Problem, problemOf } from "../api/problems";
import { uuid } from "../format";
import { suggestDatasource } from "./names";
import { forget, send, unfinished, unfinishedOf, type Order, type Sending } from "./send";

export interface Upload extends Order {
  id: string;
  state: "ready" | "sending" | "waiting" | "paused" | "sent" | "failed" | "stopped";
  /** Bytes received; those received when sending started or resumed, and when that was (milliseconds since 1970). */
  sent: number;
  from: number | undefined;
  began: number;
  taskId?: string;
  problem?: Problem | undefined;
}

let uploads: Upload[] = [];
const listeners = new Set<() => void>();
const running = new Map<string, Sending>();

function publish(next: Upload[]): void {
  uploads = next;
  for (const listener of listeners) listener();
}

function change(id: string, changes: Partial<Upload>): void {
  publish(uploads.map((upload) => (upload.id === id ? { ...upload, ...changes } : upload)));
}

const found = (id: string): Upload | undefined => uploads.find((each) => each.id === id);

export function addUpload(file: File, datasource = suggestDatasource(file.name)): string {
  const id = uuid();
  const made: Order = { file, datasource, mode: "append", allowDuplicate: false, planFirst: false, key: id };
  publish([...uploads, { ...made, id, state: "ready", sent: 0, from: undefined, began: 0 }]);
  void offerResume(id, file);
  return id;
}

/** Offers to resume an interrupted upload of this file. */
async function offerResume(id: string, file: File): Promise<void> {
  const [candidates, free] = [await unfinishedOf(file), await unfinished()];
  const taken = (key: string) => uploads.some((each) => each.key === key);
  const resumable = candidates.find(({ key }) => free.some((each) => each.key === key) && !taken(key));
  if (!resumable || found(id)?.state !== "ready") return;
  const { datasource, mode, allowDuplicate, planFirst, key } = resumable;
  change(id, { datasource, mode, allowDuplicate, planFirst, key, unfinished: resumable });
}

/** Changes options of an upload, which makes it a new request with a new key. */
export function setOptions(id: string, options: Partial<Pick<Upload, "datasource" | "mode" | "allowDuplicate" | "planFirst">>): void {
  change(id, { ...options, key: uuid() });
}

/** Discards the interrupted upload of an earlier tab. */
export async function startOver(id: string): Promise<void> {
  const unfinished = found(id)?.unfinished;
  change(id, { unfinished: undefined, key: uuid() });
  if (unfinished) await forget(unfinished);
}

export async function startUpload(id: string): Promise<string | undefined> {
  const upload = found(id);
  if (!upload || running.has(id)) return undefined;
  change(id, { state: "sending", sent: 0, from: undefined, began: Date.now(), problem: undefined });
  const sending = send(upload, (sent) => progressed(id, sent), () => change(id, { state: "waiting" }));
  running.set(id, sending);
  try {
    const taskId = await sending.done;
    change(id, { state: "sent", taskId });
    return taskId;
  } catch (failure) {
    if (failure instanceof DOMException) {
      change(id, { state: "stopped", unfinished: undefined, key: uuid() });
      return undefined;
    }
    const problem = problemOf(failure);
    const left = (await unfinishedOf(upload.file)).find(({ key }) => key === upload.key);
    // A temporary problem lets the upload resume; a rejected one starts over.
    const resumes = canRetry(problem);
    if (left && !resumes) await forget(left);
    change(id, { state: "failed", problem, unfinished: resumes ? left : undefined, key: resumes ? upload.key : uuid() });
    return undefined;
  } finally {
    running.delete(id);
  }
}

function progressed(id: string, sent: number): void {
  const upload = found(id);
  if (!upload || upload.state === "paused") return;
  const resumed = upload.from === undefined || upload.state === "waiting";
  change(id, { state: "sending", sent, ...(resumed ? { from: sent, began: Date.now() } : {}) });
}

export function pauseUpload(id: string): void {
  running.get(id)?.pause();
  change(id, { state: "paused" });
}

export function resumeUpload(id: string): void {
  change(id, { state: "sending", from: undefined, began: Date.now() });
  running.get(id)?.resume();
}

export const stopUpload = (id: string): void => void running.get(id)?.stop();

export function removeUpload(id: string): void {
  stopUpload(id);
  publish(uploads.filter((upload) => upload.id !== id));
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
  // Makes the browser ask before it interrupts uploads.
  if (running.size) event.preventDefault();
});
