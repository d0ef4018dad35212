// What keeps a load from going on, each in a box of its own; and what is only worth knowing, all in one.
import { useState } from "react";
import { findings, isFinding, type Finding } from "../api/rest";
import type { Task } from "../api/task";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { ProblemBox } from "../ui/parts";

const SHOWN_ERRORS = 5;
const SHOWN_NOTES = 8;

export function Problems({ task }: { task: Task }) {
  const why = findings(task.validationErrors);
  const errors = why.length ? why : isFinding(task.error) ? [task.error] : [];
  const notes = findings(task.validationWarnings);
  return (
    <>
      {errors.length > 0 && task.status !== "CANCELLED" && <Errors found={errors} />}
      {notes.length > 0 && <Notes found={notes} />}
    </>
  );
}

function Errors({ found }: { found: Finding[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? found : found.slice(0, SHOWN_ERRORS);
  return (
    <section className="problems" aria-label={t.report.problems}>
      {shown.map((finding, place) => (
        <ProblemBox key={place} finding={finding} />
      ))}
      <More hidden={found.length - shown.length} onClick={() => setAll(true)} />
    </section>
  );
}

/** Findings of one code that ask for the same, together. */
function alike(found: Finding[]): Finding[][] {
  const groups = new Map<string, Finding[]>();
  for (const finding of found) {
    const key = `${finding.code} ${finding.action}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  return [...groups.values()];
}

function Notes({ found }: { found: Finding[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? found : found.slice(0, SHOWN_NOTES);
  return (
    <section className="problem warn" aria-labelledby="notes-title">
      <Icon name="alert" />
      <div>
        <h2 id="notes-title" className="problem-title">
          {t.report.notes}
        </h2>
        <ul className="notes">
          {alike(shown).map((group) => (
            <li key={`${group[0]?.code} ${group[0]?.action}`} data-code={group[0]?.code}>
              {group.map(({ message }) => (
                <p key={message}>{message}</p>
              ))}
              <p className="quiet-text">{group[0]?.action}</p>
            </li>
          ))}
        </ul>
        <More hidden={found.length - shown.length} onClick={() => setAll(true)} />
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
