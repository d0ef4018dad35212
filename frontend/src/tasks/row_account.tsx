// read = loaded + rejected + skipped, as a bar.
import type { Task } from "../api/task";
import { count } from "../format";
import { t } from "../texts";

export function RowAccount({ task }: { task: Task }) {
  const read = task.rowsRead ?? 0;
  const rejected = task.rowsRejected ?? 0;
  const skipped = task.rowsSkipped ?? 0;
  const loaded = task.rowCount ?? read - rejected - skipped;
  const parts = [
    { name: task.rowCount === null ? t.task.totals.loadable : t.task.totals.loaded, rows: loaded, tone: task.rowCount === null ? "busy" : "good" },
    { name: t.task.totals.rejected, rows: rejected, tone: "bad" },
    { name: t.task.totals.skipped, rows: skipped, tone: "quiet" },
  ];
  return (
    <section className="card account" aria-label={t.task.totals.label}>
      <p className="account-read">
        <b>{count(read)}</b> {t.task.totals.read}
      </p>
      <div className="account-bar" aria-hidden="true">
        {parts.map(({ name, rows, tone }) => rows > 0 && <span key={name} className={tone} style={{ flexGrow: rows / read }} />)}
      </div>
      <ul className="account-parts">
        {parts.map(({ name, rows, tone }) => (
          <li key={name} className={tone} data-rows={name}>
            <b>{count(rows)}</b> {name}
          </li>
        ))}
      </ul>
    </section>
  );
}
