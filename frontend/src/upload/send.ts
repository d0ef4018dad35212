// Uploads one file by tus, so that it can resume after a pause, a lost connection or a reload.
import { defaultOptions, Upload as Tus, type DetailedError, type PreviousUpload } from "tus-js-client";
import { connection } from "../api/connection";
import { parseProblem, ProblemError, SERVER_AWAY } from "../api/problems";
import { uuid } from "../format";

export interface Order {
  file: File;
  datasource: string;
  mode: "append" | "replace";
  allowDuplicate: boolean;
  /** Whether the load stops at its plan until a user applies it. */
  planFirst: boolean;
  /** Idempotency key: all attempts with the same key result in one task. */
  key: string;
  /** The interrupted upload of an earlier tab that this one resumes. */
  unfinished?: Unfinished | undefined;
}

export interface Sending {
  /** Resolves to the id of the task when the server has the whole file. */
  done: Promise<string>;
  pause: () => void;
  resume: () => void;
  /** Aborts the upload and discards the received bytes. */
  stop: () => Promise<void>;
}

export interface Unfinished {
  name: string;
  size: number;
  datasource: string;
  mode: Order["mode"];
  allowDuplicate: boolean;
  planFirst: boolean;
  key: string;
  kept: PreviousUpload;
}

const RETENTION_MS = 24 * 3600 * 1000;
// Starts over with every byte that arrives. After 15 minutes without any, the upload fails.
const RETRY_MS = [0, 1000, 2000, ...new Array<number>(300).fill(3000)];
const RETRIABLE = new Set([0, 409, 423, 429]);

const endpoint = (): string => new URL("/api/ingest/uploads", location.href).href;
const storage = defaultOptions.urlStorage;
const statusOf = (error: unknown): number => (error as Partial<DetailedError>).originalResponse?.getStatus() ?? 0;

const problemIn = (error: unknown): ProblemError =>
  new ProblemError(parseProblem((error as Partial<DetailedError>).originalResponse?.getBody()) ?? SERVER_AWAY);

function fromStorage(kept: PreviousUpload): Unfinished {
  const { filename, datasource_name, mode, allow_duplicate, apply, request_id } = kept.metadata;
  return {
    name: filename ?? "",
    size: kept.size ?? 0,
    datasource: datasource_name ?? "",
    mode: mode === "replace" ? "replace" : "append",
    allowDuplicate: allow_duplicate === "true",
    planFirst: apply === "false",
    key: request_id ?? uuid(),
    kept,
  };
}

/** Interrupted uploads of all tabs that no tab is sending now, newest first. */
export async function unfinished(): Promise<Unfinished[]> {
  const active = new Set((await navigator.locks?.query())?.held?.map(({ name }) => name));
  const found = (await storage.findAllUploads()).map(fromStorage);
  const old = found.filter(({ kept }) => Date.now() - Date.parse(kept.creationTime) > RETENTION_MS);
  for (const { kept } of old) await storage.removeUpload(kept.urlStorageKey);
  return found
    .filter((each) => !old.includes(each) && !active.has(each.key))
    .sort((a, b) => Date.parse(b.kept.creationTime) - Date.parse(a.kept.creationTime));
}

/** Interrupted uploads of a file with the same name, size and modification time. */
export async function unfinishedOf(file: File): Promise<Unfinished[]> {
  return (await new Tus(file, { endpoint: endpoint() }).findPreviousUploads()).map(fromStorage);
}

export async function forget({ kept }: Unfinished): Promise<void> {
  await storage.removeUpload(kept.urlStorageKey);
  if (kept.uploadUrl) await Tus.terminate(kept.uploadUrl).catch(() => undefined);
}

export function send(order: Order, onProgress: (sent: number) => void, onWaiting: () => void): Sending {
  let fail: (why: unknown) => void = () => undefined;
  let tus!: Tus;
  const done = new Promise<string>((resolve, reject) => {
    fail = reject;
    tus = new Tus(order.file, {
      endpoint: endpoint(),
      metadata: {
        filename: order.file.name,
        datasource_name: order.datasource,
        mode: order.mode,
        allow_duplicate: String(order.allowDuplicate),
        apply: String(!order.planFirst),
        request_id: order.key,
      },
      retryDelays: RETRY_MS,
      removeFingerprintOnSuccess: true,
      onShouldRetry: (error) => {
        const status = statusOf(error);
        if (status === 0) connection.lost();
        const retry = RETRIABLE.has(status) || status >= 500;
        if (retry) onWaiting();
        return retry;
      },
      onAfterResponse: () => connection.found(),
      onProgress,
      onError: (error) => reject(problemIn(error)),
      onSuccess: () => resolve(tus.url?.split("/").pop() ?? ""),
    });
  });
  if (order.unfinished) tus.resumeFromPreviousUpload(order.unfinished.kept);
  // Keeps other tabs from offering to resume this upload.
  void navigator.locks?.request(order.key, () => done.catch(() => undefined));
  tus.start();
  return {
    done,
    pause: () => void tus.abort(),
    resume: () => tus.start(),
    stop: async () => {
      try {
        await tus.abort(true);
        fail(new DOMException("stopped", "AbortError"));
      } catch (failure) {
        fail(problemIn(failure));
      }
    },
  };
}
