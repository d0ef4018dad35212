// Differences from the last load of the datasource.
import { Link } from "wouter";
import type { DriftFieldsFragment as Drift } from "../api/generated";
import type { Report } from "./report_view";
import { t } from "../texts";

export function DriftList({ report: { drift, comparedWith: last } }: { report: Report }) {
  return (
    <div className="drift">
      <h3>{t.report.drift}</h3>
      {drift.length === 0 && <p className="hint">{t.report.noDrift}</p>}
      <DriftItems drift={drift} />
      <p>
        <Link href={`/tasks/${last}`}>{t.report.lastLoad}</Link>
      </p>
    </div>
  );
}

export function DriftItems({ drift }: { drift: Drift[] }) {
  if (drift.length === 0) return null;
  return (
    <ul className="drift-items">
      {drift.map(({ kind, column, before, now }) => (
        <li key={`${kind} ${column} ${before}`} data-drift={kind}>
          <span className="status warn">{t.report.drifts[kind ?? ""] ?? kind}</span> <b>{column}</b>{" "}
          <span className="quiet-text">{[before, now].filter(Boolean).join(" → ")}</span>
        </li>
      ))}
    </ul>
  );
}
