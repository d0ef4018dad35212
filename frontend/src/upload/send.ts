// Sends one file by XMLHttpRequest, which unlike fetch tells how far it is.
import { connection } from "../api/connection";
import { AWAY, isFinding, Problem } from "../api/rest";

export interface Order {
  file: File;
  datasource: string;
  mode: "append" | "replace";
  allowDuplicate: boolean;
  /** The same for every try of the same sending, so that the server makes one task of them. */
  key: string;
}

export interface Sending {
  /** The task's id, once the server has stored the file. */
  done: Promise<string>;
  stop: () => void;
}

export function send(order: Order, onProgress: (sent: number) => void): Sending {
  const form = new FormData();
  form.append("datasource_name", order.datasource);
  form.append("mode", order.mode);
  form.append("allow_duplicate", String(order.allowDuplicate));
  form.append("file", order.file);
  const call = new XMLHttpRequest();
  const done = new Promise<string>((resolve, reject) => {
    call.upload.addEventListener("progress", (event) => onProgress(Math.min(event.loaded, order.file.size)));
    call.addEventListener("load", () => {
      connection.found();
      const body: unknown = call.response;
      if (call.status === 202) resolve((body as { task_id: string }).task_id);
      else reject(new Problem(isFinding(body) ? body : AWAY));
    });
    call.addEventListener("error", () => reject(new Problem(AWAY)));
    call.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
  });
  call.open("POST", "/api/ingest/upload");
  call.responseType = "json";
  call.setRequestHeader("Idempotency-Key", order.key);
  call.setRequestHeader("Accept", "application/json");
  call.send(form);
  return { done, stop: () => call.abort() };
}
