// What a load would do; it starts when a user applies the plan.
import { useState } from "react";
import { useDocument } from "../api/documents";
import { PlanDocument, type PlanQuery } from "../api/generated";
import { problemOf, type Problem } from "../api/problems";
import type { Task } from "../api/task";
import { applyPlan } from "../api/tasks";
import { count, duration, span } from "../format";
import { t } from "../texts";
import { Loading, ProblemBox } from "../ui/parts";

type Plan = PlanQuery["plan"];

const SHOWN_CHUNKS = 12;

export function PlanCard({ task }: { task: Task }) {
  const { data, problem, reload } = useDocument(PlanDocument, { taskId: task.taskId });
  const [applying, setApplying] = useState(false);
  const [refused, setRefused] = useState<Problem>();
  if (problem) return <ProblemBox problem={problem} />;
  if (!data) return <Loading />;
  const { plan } = data;
  const apply = async () => {
    setApplying(true);
    try {
      await applyPlan(task.taskId, plan.planHash);
    } catch (failure) {
      setRefused(problemOf(failure));
      // Another load may have made the plan stale.
      reload();
    } finally {
      setApplying(false);
    }
  };
  const { rowsAdded: added, rowsReplaced: replaced, datasourceName: datasource } = plan;
  return (
    <section className="card" aria-labelledby="plan-title">
      <h2 id="plan-title">{t.plan.title}</h2>
      <p className="lead">{replaced > 0 ? t.plan.replaces(replaced, added, datasource) : t.plan.adds(added, datasource)}</p>
      <dl className="facts">
        <div>
          <dt>{t.plan.time}</dt>
          <dd>
            {span(plan.interval)} {t.plan.grain[plan.segmentGranularity]}
          </dd>
        </div>
        <div>
          <dt>{t.plan.estimate}</dt>
          <dd>{duration(plan.estimatedSeconds)}</dd>
        </div>
      </dl>
      <Columns plan={plan} />
      <Chunks plan={plan} />
      {refused && <ProblemBox problem={refused} />}
      <div className="actions">
        <button type="button" className="primary" disabled={applying} onClick={() => void apply()}>
          {applying ? t.plan.applying : t.plan.apply}
        </button>
      </div>
    </section>
  );
}

function Columns({ plan: { columns } }: { plan: Plan }) {
  const differing = columns.filter(({ change }) => change !== "SAME");
  if (differing.length === 0) return <p className="hint">{t.plan.same}</p>;
  return (
    <>
      <h3>{t.plan.columns}</h3>
      <ul className="drift-items">
        {differing.map(({ name, change, type, existingType: before }) => (
          <li key={name}>
            <span className="status warn">{t.plan.changes[change] ?? change}</span> <b>{name}</b>{" "}
            <span className="quiet-text">{[before, type].filter(Boolean).join(" → ")}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Chunks({ plan: { chunks } }: { plan: Plan }) {
  const more = chunks.length - SHOWN_CHUNKS;
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={t.plan.chunks}>
      <table>
        <caption>{t.plan.chunks}</caption>
        <thead>
          <tr>
            <th scope="col">{t.plan.chunk}</th>
            <th scope="col" className="number">
              {t.plan.added}
            </th>
            <th scope="col" className="number">
              {t.plan.replaced}
            </th>
          </tr>
        </thead>
        <tbody>
          {chunks.slice(0, SHOWN_CHUNKS).map(({ interval, rowsAdded: added, rowsReplaced: replaced }) => (
            <tr key={interval}>
              <th scope="row">{span(interval)}</th>
              <td className="number">{count(added)}</td>
              <td className="number">{count(replaced)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {more > 0 && <p className="hint">{t.plan.more(more)}</p>}
    </div>
  );
}
