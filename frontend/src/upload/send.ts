// Sends one file by tus: what has arrived stays, so that sending goes on after a pause, a lost line or a reload.
import { defaultOptions, Upload as Tus, type DetailedError, type PreviousUpload } from "tus-js-client";
import { connection } from "../api/connection";
import { AWAY, fromText, Problem } from "../api/rest";
import { uuid } from "../format";

export interface Order {
  file: File;
  datasource: string;
  mode: "append" | "replace";
  allowDuplicate: boolean;
  /** Whether it stops at the plan until somebody applies it. */
  planFirst: boolean;
  /** The same for every try of the same sending, so that the server makes one task of them. */
  key: string;
  /** What an earlier tab left of it. */
  unfinished?: Unfinished | undefined;
}

export interface Sending {
  /** The task's id, once the server has the whole file. */
  done: Promise<string>;
  pause: () => void;
  resume: () => void;
  /** Gives it up, and what has arrived of it. */
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

const KEPT_MS = 24 * 3600 * 1000;
// Begins anew with every byte that arrives; without any for a quarter of an hour a person is asked.
const RETRY_MS = [0, 1000, 2000, ...new Array<number>(300).fill(3000)];
const PASSES = new Set([0, 409, 423, 429]);

const endpoint = (): string => new URL("/api/ingest/uploads", location.href).href;
const storage = defaultOptions.urlStorage;
const statusOf = (error: unknown): number => (error as Partial<DetailedError>).originalResponse?.getStatus() ?? 0;

const problemOf = (error: unknown): Problem =>
  new Problem(fromText((error as Partial<DetailedError>).originalResponse?.getBody()) ?? AWAY);

function told(kept: PreviousUpload): Unfinished {
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

/** What stopped on its way, in this tab or an earlier one, and that no tab is sending now. Newest first. */
export async function unfinished(): Promise<Unfinished[]> {
  const sent = new Set((await navigator.locks?.query())?.held?.map(({ name }) => name));
  const found = (await storage.findAllUploads()).map(told);
  const old = found.filter(({ kept }) => Date.now() - Date.parse(kept.creationTime) > KEPT_MS);
  for (const { kept } of old) await storage.removeUpload(kept.urlStorageKey);
  return found
    .filter((each) => !old.includes(each) && !sent.has(each.key))
    .sort((a, b) => Date.parse(b.kept.creationTime) - Date.parse(a.kept.creationTime));
}

/** What earlier sendings of this file left: same name, size and time of change. */
export async function leftOf(file: File): Promise<Unfinished[]> {
  return (await new Tus(file, { endpoint: endpoint() }).findPreviousUploads()).map(told);
}

export async function forget({ kept }: Unfinished): Promise<void> {
  await storage.removeUpload(kept.urlStorageKey);
  if (kept.uploadUrl) await Tus.terminate(kept.uploadUrl).catch(() => undefined);
}

export function send(order: Order, onProgress: (sent: number) => void, onWaiting: () => void): Sending {
  let refuse: (why: unknown) => void = () => undefined;
  let tus!: Tus;
  const done = new Promise<string>((resolve, reject) => {
    refuse = reject;
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
        const again = PASSES.has(status) || status >= 500;
        if (again) onWaiting();
        return again;
      },
      onAfterResponse: () => connection.found(),
      onProgress,
      onError: (error) => reject(problemOf(error)),
      onSuccess: () => resolve(tus.url?.split("/").pop() ?? ""),
    });
  });
  if (order.unfinished) tus.resumeFromPreviousUpload(order.unfinished.kept);
  // Other tabs do not offer to go on with it meanwhile.
  void navigator.locks?.request(order.key, () => done.catch(() => undefined));
  tus.start();
  return {
    done,
    pause: () => void tus.abort(),
    resume: () => tus.start(),
    stop: async () => {
      try {
        await tus.abort(true);
        refuse(new DOMException("stopped", "AbortError"));
      } catch (failure) {
        refuse(problemOf(failure));
      }
    },
  };
}
