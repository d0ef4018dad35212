// Rejected rows with their reasons, their download, and a drop zone for the repaired file.
import { useState } from "react";
import { useDropzone } from "react-dropzone";
import { useLocation } from "wouter";
import type { Task } from "../api/task";
import { taskPath } from "../api/tasks";
import { count } from "../format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { useLimits } from "../upload/limits";
import { acceptable } from "../upload/names";
import { addUpload, startUpload } from "../upload/uploads";
import type { Report } from "./report_view";

export function Rejects({ task, report }: { task: Task; report: Report }) {
  const all = report.rowsRejected;
  const shown = report.firstRejects;
  return (
    <section className="card" id="rejects" aria-labelledby="rejects-title">
      <div className="section-head">
        <h2 id="rejects-title">{t.rejects.title(all)}</h2>
        <div className="actions">
          {(["xlsx", "csv"] as const).map((format) => (
            <a key={format} className="button" href={`${taskPath(task.taskId)}/rejects?format=${format}`} download>
              <Icon name="down" />
              {t.rejects[format]}
            </a>
          ))}
        </div>
      </div>
      <p className="hint">{report.verdict === "REJECTED" ? t.rejects.leadRejected : t.rejects.lead}</p>
      <div className="table-scroll tall" tabIndex={0} role="region" aria-label={t.rejects.table}>
        <table>
          <thead>
            <tr>
              {[t.rejects.line, t.rejects.column, t.rejects.value, t.rejects.reason, t.rejects.action].map((name, index) => (
                <th key={name} scope="col" className={index === 0 ? "number" : undefined}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.flatMap(({ line, problems }) =>
              problems.map((problem, index) => (
                <tr key={`${line}-${index}`}>
                  <td className="number">{count(line)}</td>
                  <td>{problem.column}</td>
                  <td>{problem.value !== null && <mark>{problem.value}</mark>}</td>
                  <td>{problem.message}</td>
                  <td>{problem.action}</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
      {shown.length < all && <p className="hint">{t.rejects.more(shown.length, all)}</p>}
      <RepairedDrop task={task} />
    </section>
  );
}

function RepairedDrop({ task }: { task: Task }) {
  const [, go] = useLocation();
  const [refused, setRefused] = useState<string>();
  const limits = useLimits();
  const { getRootProps, getInputProps, isDragActive, open } = useDropzone({
    multiple: false,
    noClick: true,
    noKeyboard: true,
    onDrop: ([file]) => {
      if (!file) return;
      if (limits && !acceptable(file.name, limits.extensions)) {
        setRefused(t.load.refusedType(file.name, limits.extensions));
        return;
      }
      const id = addUpload(file, task.datasourceName ?? undefined);
      go("/");
      void startUpload(id).then((taskId) => taskId && go(`/tasks/${taskId}`));
    },
  });
  return (
    <div {...getRootProps({ className: `drop inline ${isDragActive ? "over" : ""}` })}>
      <input {...getInputProps()} />
      <span>{isDragActive ? t.load.release : t.rejects.back}</span>
      <button type="button" onClick={open}>
        {t.rejects.backChoose}
      </button>
      {refused && (
        <p role="alert" className="refused">
          {refused}
        </p>
      )}
    </div>
  );
}
