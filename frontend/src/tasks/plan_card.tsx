// What a load would do, shown before it does anything; it begins when somebody applies the plan.
import { useState } from "react";
import { findingOf, useRead, type Finding } from "../api/rest";
import type { Task } from "../api/task";
import { applyPlan, taskPath } from "../api/tasks";
import { count, duration, span } from "../format";
import { t } from "../texts";
import { Loading, ProblemBox } from "../ui/parts";

interface Plan {
  plan_hash: string;
  datasource_name: string;
  interval: string;
  segment_granularity: string;
  columns: { name: string; change: string; type: string | null; existing_type: string | null }[];
  chunks: { interval: string; rows_added: number; rows_replaced: number }[];
  rows_added: number;
  rows_replaced: number;
  estimated_seconds: number;
}

const SHOWN_CHUNKS = 12;

export function PlanCard({ task }: { task: Task }) {
  const { data: plan, problem, reload } = useRead<Plan>(`${taskPath(task.taskId)}/plan`);
  const [applying, setApplying] = useState(false);
  const [refused, setRefused] = useState<Finding>();
  if (problem) return <ProblemBox finding={problem} />;
  if (!plan) return <Loading />;
  const apply = async () => {
    setApplying(true);
    try {
      await applyPlan(task.taskId, plan.plan_hash);
    } catch (failure) {
      setRefused(findingOf(failure));
      // Where another load came between, this is the plan as it is now.
      reload();
    } finally {
      setApplying(false);
    }
  };
  const { rows_added: added, rows_replaced: replaced, datasource_name: datasource } = plan;
  return (
    <section className="card" aria-labelledby="plan-title">
      <h2 id="plan-title">{t.plan.title}</h2>
      <p className="lead">{replaced > 0 ? t.plan.replaces(replaced, added, datasource) : t.plan.adds(added, datasource)}</p>
      <dl className="facts">
        <div>
          <dt>{t.plan.time}</dt>
          <dd>
            {span(plan.interval)} {t.plan.grain[plan.segment_granularity]}
          </dd>
        </div>
        <div>
          <dt>{t.plan.estimate}</dt>
          <dd>{duration(plan.estimated_seconds)}</dd>
        </div>
      </dl>
      <Columns plan={plan} />
      <Chunks plan={plan} />
      {refused && <ProblemBox finding={refused} />}
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
        {differing.map(({ name, change, type, existing_type: before }) => (
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
          {chunks.slice(0, SHOWN_CHUNKS).map(({ interval, rows_added: added, rows_replaced: replaced }) => (
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
