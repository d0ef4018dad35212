// The files that were dropped and are not yet a task. They live as long as the tab, whatever page is shown.
import { useSyncExternalStore } from "react";
import { findingOf, lasts, type Finding } from "../api/rest";
import { uuid } from "../format";
import { suggestDatasource } from "./names";
import { forget, leftOf, send, unfinished, type Order, type Sending } from "./send";

export interface Upload extends Order {
  id: string;
  state: "ready" | "sending" | "waiting" | "paused" | "sent" | "failed" | "stopped";
  /** Bytes that arrived; those that were there when sending began or went on, and when that was (milliseconds since 1970). */
  sent: number;
  from: number | undefined;
  began: number;
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

const found = (id: string): Upload | undefined => uploads.find((each) => each.id === id);

export function addUpload(file: File, datasource = suggestDatasource(file.name)): string {
  const id = uuid();
  const made: Order = { file, datasource, mode: "append", allowDuplicate: false, planFirst: false, key: id };
  show([...uploads, { ...made, id, state: "ready", sent: 0, from: undefined, began: 0 }]);
  void takeUp(id, file);
  return id;
}

/** Where an earlier tab stopped on the way with this file, this one goes on. */
async function takeUp(id: string, file: File): Promise<void> {
  const [left, free] = [await leftOf(file), await unfinished()];
  const taken = (key: string) => uploads.some((each) => each.key === key);
  const one = left.find(({ key }) => free.some((each) => each.key === key) && !taken(key));
  if (!one || found(id)?.state !== "ready") return;
  const { datasource, mode, allowDuplicate, planFirst, key } = one;
  change(id, { datasource, mode, allowDuplicate, planFirst, key, unfinished: one });
}

/** Other wishes make another sending of it: it gets a key of its own. */
export function setWish(id: string, wish: Partial<Pick<Upload, "datasource" | "mode" | "allowDuplicate" | "planFirst">>): void {
  change(id, { ...wish, key: uuid() });
}

/** What an earlier tab left of it is given up. */
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
    const problem = findingOf(failure);
    const left = (await leftOf(upload.file)).find(({ key }) => key === upload.key);
    // What only took too long goes on with what has arrived; what was refused is begun anew.
    const goesOn = lasts(problem);
    if (left && !goesOn) await forget(left);
    change(id, { state: "failed", problem, unfinished: goesOn ? left : undefined, key: goesOn ? upload.key : uuid() });
    return undefined;
  } finally {
    running.delete(id);
  }
}

function progressed(id: string, sent: number): void {
  const upload = found(id);
  if (!upload || upload.state === "paused") return;
  const fresh = upload.from === undefined || upload.state === "waiting";
  change(id, { state: "sending", sent, ...(fresh ? { from: sent, began: Date.now() } : {}) });
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
  // The browser asks before what is being sent stops on its way.
  if (running.size) event.preventDefault();
});
