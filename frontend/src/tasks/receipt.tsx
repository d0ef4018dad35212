// The account of every row with its evidence, also as a download.
import { useDocument } from "../api/documents";
import { ReceiptDocument } from "../api/generated";
import type { Task } from "../api/task";
import { taskPath } from "../api/tasks";
import { count, span } from "../format";
import { t } from "../texts";
import { ProblemBox } from "../ui/parts";

export function Receipt({ task }: { task: Task }) {
  const { data, problem } = useDocument(ReceiptDocument, { taskId: task.taskId });
  if (problem) return <ProblemBox problem={problem} />;
  if (!data) return null;
  const { receipt } = data;
  const facts: [string, string][] = [
    [t.receipt.counted, count(receipt.rowsCounted)],
    [t.receipt.sums, receipt.sums.map(({ column }) => column).join(", ") || "–"],
    [t.receipt.interval, receipt.interval ? span(receipt.interval) : "–"],
    [t.receipt.druid, receipt.druidTaskIds.join(", ")],
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
        <a className="button" href={`${taskPath(task.taskId)}/receipt`} download>
          {t.receipt.download}
        </a>
      </div>
    </section>
  );
}
