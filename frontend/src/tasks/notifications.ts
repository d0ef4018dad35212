// Browser notifications for loads that end while the page is in the background.
import { useState } from "react";
import type { Task } from "../api/task";
import { t } from "../texts";

const possible = "Notification" in window && isSecureContext;

export function useNotifications() {
  const [state, setState] = useState(() => (possible ? Notification.permission : "denied"));
  return { possible, state, ask: async () => setState(await Notification.requestPermission()) };
}

export function notify(task: Task): void {
  if (!possible || Notification.permission !== "granted" || document.visibilityState === "visible") return;
  const file = task.originalFilename ?? t.task.title;
  const title = task.status === "SUCCEEDED" ? t.notification.SUCCEEDED(file) : t.notification.other(file);
  new Notification(title, { body: task.message ?? "", tag: task.taskId, icon: "/icon.svg" });
}
