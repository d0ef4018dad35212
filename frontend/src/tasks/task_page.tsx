// One load: status, progress, problems, report, and what to do next.
import { useEffect, useRef } from "react";
import { has } from "virtual:schema";
import { Link } from "wouter";
import { useDocument } from "../api/documents";
import { ReportDocument } from "../api/generated";
import { ended, type Task } from "../api/task";
import { useTask, type Live } from "../api/tasks";
import { count, duration, size } from "../format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Loading, ProblemBox, Status, useNow, useTitle } from "../ui/parts";
import { TaskActions } from "./actions";
import { PlanCard } from "./plan_card";
import { Problems } from "./problems";
import { ReadAgain } from "./read_again";
import { notify, useNotifications } from "./notifications";
import { Receipt } from "./receipt";
import { ReadyQueries } from "./ready_queries";
import { Rejects } from "./rejects";
import { ReportView } from "./report_view";
import { RowAccount } from "./row_account";
import { Timeline } from "./timeline";

const NOT_VALIDATED = new Set(["PENDING", "UPLOADED", "VALIDATING"]);

export function TaskPage({ id }: { id: string }) {
  const { task, problem, live } = useTask(id);
  useTitle(task?.originalFilename ?? t.task.title);
  if (problem && !task) {
    return (
      <div className="page narrow">
        <h1>{t.task.title}</h1>
        <ProblemBox problem={problem} />
      </div>
    );
  }
  if (task === undefined) return <Loading />;
  if (task === null) {
    return (
      <div className="page narrow">
        <h1>{t.titles.missing}</h1>
        <p className="lead">{t.task.notPresent}</p>
        <p>
          <Link href="/tasks">{t.history.title}</Link>
        </p>
      </div>
    );
  }
  return <Shown task={task} live={live} problem={problem} />;
}

function Shown({ task, live, problem }: Live & { task: Task }) {
  const validated = !NOT_VALIDATED.has(task.status) && task.rowsRead !== null && !task.filesDeletedAt;
  const report = useDocument(ReportDocument, validated ? { taskId: task.taskId } : null).data?.report;
  const before = useRef(ended(task));
  useEffect(() => {
    if (ended(task) && !before.current) notify(task);
    before.current = ended(task);
  }, [task]);
  const succeeded = task.status === "SUCCEEDED";
  return (
    <div className="page">
      {problem && <ProblemBox problem={problem} />}
      <Head task={task} live={live} />
      <Problems task={task} />
      <section className="card">
        <h2>{t.task.timeline}</h2>
        <Timeline task={task} />
      </section>
      {task.status === "PLANNED" && <PlanCard task={task} />}
      {task.rowsRead !== null && <RowAccount task={task} />}
      {succeeded && <ReadyQueries task={task} />}
      {report && report.firstRejects.length > 0 && <Rejects task={task} report={report} />}
      {report && <ReportView report={report} />}
      {succeeded && <Receipt task={task} />}
      {report && ended(task) && has("Mutation.revalidateIngestionTask") && <ReadAgain task={task} report={report} />}
    </div>
  );
}

function Head({ task, live }: { task: Task; live: boolean }) {
  const over = ended(task);
  const now = useNow(!over);
  const took = (Date.parse(task.completedAt ?? "") || now) - Date.parse(task.createdAt ?? "");
  const facts: [string, string | null][] = [
    [t.task.facts.size, task.fileSize === null ? null : size(task.fileSize)],
    [t.task.facts.rows, task.rowCount === null ? null : count(task.rowCount)],
    [t.task.facts.mode, t.task.mode[task.mode ?? ""] ?? null],
    [t.task.facts.took, Number.isFinite(took) ? duration(Math.max(0, took) / 1000) : null],
  ];
  return (
    <section className="task-head">
      <div className="task-title">
        <h1>{task.originalFilename}</h1>
        <Status status={task.status} />
        {!over && <span className={`live ${live ? "on" : ""}`}>{live ? t.task.live : t.task.polling}</span>}
      </div>
      <p className="task-into">
        {t.task.into} <Link href={`/datasources/${encodeURIComponent(task.datasourceName ?? "")}`}>{task.datasourceName}</Link>
        {task.loadState && task.loadState !== "LIVE" && <span className="quiet-text"> · {t.loadState[task.loadState] ?? task.loadState}</span>}
      </p>
      <p className="task-message" role="status">
        {task.message}
        {task.queuePosition !== null && ` ${t.task.queue(task.queuePosition)}.`}
        {!over && task.estimatedSecondsLeft !== null && (
          <span className="quiet-text"> {t.task.estimate(duration(task.estimatedSecondsLeft))}</span>
        )}
      </p>
      <dl className="facts">
        {facts.map(
          ([name, value]) =>
            value !== null && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
      {[
        { id: task.duplicateOf, text: t.task.duplicateOf },
        { id: task.retryOf, text: t.task.retryOf },
        { id: task.repairOf, text: t.task.repairOf },
      ].map(
        ({ id, text }) =>
          id && (
            <p key={text}>
              <Link href={`/tasks/${id}`}>{text}</Link>
            </p>
          ),
      )}
      {task.filesDeletedAt && <p className="hint">{t.task.filesDeleted}</p>}
      <Actions task={task} />
    </section>
  );
}

function Actions({ task }: { task: Task }) {
  const notifications = useNotifications();
  return (
    <div className="actions">
      <TaskActions task={task} />
      {!ended(task) && notifications.possible && (
        <button type="button" onClick={() => void notifications.ask()} disabled={notifications.state !== "default"}>
          <Icon name="bell" />
          {notifications.state === "granted" ? t.task.notifyOn : notifications.state === "denied" ? t.task.notifyDenied : t.task.notify}
        </button>
      )}
    </div>
  );
}
