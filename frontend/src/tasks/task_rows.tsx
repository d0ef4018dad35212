// Tasks as rows of a list, on the first page, in the history and of a datasource.
import type { ReactNode } from "react";
import { Link } from "wouter";
import { ended, type TaskRow } from "../api/task";
import { ago, count, size } from "../format";
import { t } from "../texts";
import { Status, useNow } from "../ui/parts";

export function TaskRows({ tasks, actions }: { tasks: TaskRow[]; actions?: (task: TaskRow) => ReactNode }) {
  const now = useNow(tasks.some((task) => !ended(task)));
  return (
    <ol className={actions ? "rows acted" : "rows"}>
      {tasks.map((task) => (
        <li key={task.taskId} className="row">
          <Link href={`/tasks/${task.taskId}`} className="row-main">
            <span className="row-name">{task.originalFilename}</span>
            <span className="row-into">
              {t.task.into} <b>{task.datasourceName}</b>
            </span>
          </Link>
          <span className="row-message">{rowMessage(task)}</span>
          <time className="row-time" dateTime={task.createdAt ?? undefined}>
            {task.createdAt && ago(task.createdAt, now)}
          </time>
          <Status status={task.status} />
          {actions && <span className="row-actions">{actions(task)}</span>}
        </li>
      ))}
    </ol>
  );
}

function rowMessage(task: TaskRow): string {
  if (task.status === "SUCCEEDED") {
    const rejected = task.rowsRejected ? `, ${count(task.rowsRejected)} ${t.task.totals.rejected}` : "";
    return `${count(task.rowCount ?? 0)} ${t.task.facts.rows.toLowerCase()}${rejected}`;
  }
  if (task.status === "PENDING" && task.fileSize) return `${size(task.receivedSize ?? 0)} / ${size(task.fileSize)}`;
  return task.message ?? "";
}
