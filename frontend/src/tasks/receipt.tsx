// What became of every row, and how that was proven: to be looked at, and kept as a file.
import { useRead } from "../api/rest";
import type { Task } from "../api/task";
import { taskPath } from "../api/tasks";
import { count, span } from "../format";
import { t } from "../texts";
import { ProblemBox } from "../ui/parts";

interface RowReceipt {
  sha256: string;
  rows_counted: number;
  sums: { column: string; expected: number | null; counted: number | null }[];
  interval: string | null;
  druid_task_ids: string[];
}

export function Receipt({ task }: { task: Task }) {
  const path = `${taskPath(task.taskId)}/receipt`;
  const { data: receipt, problem } = useRead<RowReceipt>(path);
  if (problem) return <ProblemBox finding={problem} />;
  if (!receipt) return null;
  const facts: [string, string][] = [
    [t.receipt.counted, count(receipt.rows_counted)],
    [t.receipt.sums, receipt.sums.map(({ column }) => column).join(", ") || "–"],
    [t.receipt.interval, receipt.interval ? span(receipt.interval) : "–"],
    [t.receipt.druid, receipt.druid_task_ids.join(", ")],
    [t.receipt.sha256, receipt.sha256],
  ];
  return (
    <section className="card" aria-labelledby="receipt-title">
      <h2 id="receipt-title">{t.receipt.title}</h2>
      <p className="hint">{t.receipt.lead}</p>
      <dl className="facts receipt">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <div className="actions">
        <a className="button" href={path} download>
          {t.receipt.download}
        </a>
      </div>
    </section>
  );
}
