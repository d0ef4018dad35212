// Problems that stop a load, each in its own box; and all warnings in one.
import { useState } from "react";
import type { Problem } from "../api/problems";
import type { Task } from "../api/task";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { ProblemBox } from "../ui/parts";

const SHOWN_ERRORS = 5;
const SHOWN_WARNINGS = 8;

export function Problems({ task }: { task: Task }) {
  const errors = task.problems.length || !task.failure ? task.problems : [task.failure];
  return (
    <>
      {errors.length > 0 && task.status !== "CANCELLED" && <Errors problems={errors} />}
      {task.warnings.length > 0 && <Warnings warnings={task.warnings} />}
    </>
  );
}

function Errors({ problems }: { problems: Problem[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? problems : problems.slice(0, SHOWN_ERRORS);
  return (
    <section className="problems" aria-label={t.report.problems}>
      {shown.map((problem, index) => (
        <ProblemBox key={index} problem={problem} />
      ))}
      <More hidden={problems.length - shown.length} onClick={() => setAll(true)} />
    </section>
  );
}

/** Groups problems that have the same code and action. */
function grouped(problems: Problem[]): Problem[][] {
  const groups = new Map<string, Problem[]>();
  for (const problem of problems) {
    const key = `${problem.code} ${problem.action}`;
    groups.set(key, [...(groups.get(key) ?? []), problem]);
  }
  return [...groups.values()];
}

function Warnings({ warnings }: { warnings: Problem[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? warnings : warnings.slice(0, SHOWN_WARNINGS);
  return (
    <section className="problem warn" aria-labelledby="notes-title">
      <Icon name="alert" />
      <div>
        <h2 id="notes-title" className="problem-title">
          {t.report.notes}
        </h2>
        <ul className="notes">
          {grouped(shown).map((group) => (
            <li key={`${group[0]?.code} ${group[0]?.action}`} data-code={group[0]?.code}>
              {group.map(({ message }) => (
                <p key={message}>{message}</p>
              ))}
              <p className="quiet-text">{group[0]?.action}</p>
            </li>
          ))}
        </ul>
        <More hidden={warnings.length - shown.length} onClick={() => setAll(true)} />
      </div>
    </section>
  );
}

function More({ hidden, onClick }: { hidden: number; onClick: () => void }) {
  if (hidden === 0) return null;
  return (
    <button type="button" className="text-button" onClick={onClick}>
      {t.report.more(hidden)}
    </button>
  );
}
