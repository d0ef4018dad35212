// The validation report: verdict, dialect, columns, rules.
import type { ReportQuery } from "../api/generated";
import { count, figure, moment, share } from "../format";
import { t } from "../texts";
import { Distribution } from "./distribution";
import { DriftList } from "./drift_list";
import { TimeCovered } from "./time_covered";

export type Report = ReportQuery["report"];
export type Column = Report["columns"][number];

export function ReportView({ report }: { report: Report }) {
  return (
    <section className="card report" aria-labelledby="report-title">
      <h2 id="report-title">{t.report.title}</h2>
      <p className={`verdict ${report.verdict === "PASSED" ? "good" : "bad"}`}>
        <b>{t.report.verdict[report.verdict ?? ""]}</b> {report.summary}
      </p>
      <ReadAs report={report} />
      {report.time && <TimeCovered time={report.time} />}
      {report.comparedWith && <DriftList report={report} />}
      <h3>{t.report.columns(report.columns.length)}</h3>
      <Columns columns={report.columns} timeName={report.time?.sourceName} />
      <h3>{t.report.rules}</h3>
      <Rules rules={report.rules} />
    </section>
  );
}

function ReadAs({ report: { format, dialect, sheet, time, duplicateRows: duplicates } }: { report: Report }) {
  const read = [
    format,
    dialect && dialect.encoding.toUpperCase(),
    dialect && t.report.delimiter(t.report.delimiters[dialect.delimiter] ?? dialect.delimiter),
    dialect && t.report.header(dialect.headerLine),
    sheet && t.report.sheet(sheet.name, sheet.allNames.length),
    sheet && t.report.header(sheet.headerRow),
  ].filter(Boolean);
  return (
    <dl className="facts">
      <div>
        <dt>{t.report.dialect}</dt>
        <dd>{read.join(", ")}</dd>
      </div>
      {time && (
        <div>
          <dt>{t.report.coverage}</dt>
          <dd>
            {moment(time.minMillis)} – {moment(time.maxMillis)}
          </dd>
        </div>
      )}
      {duplicates !== null && (
        <div>
          <dt>{t.report.duplicates}</dt>
          <dd>{count(duplicates)}</dd>
        </div>
      )}
    </dl>
  );
}

function Columns({ columns, timeName }: { columns: Column[]; timeName: string | undefined }) {
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={t.report.columns(columns.length)}>
      <table className="columns">
        <thead>
          <tr>
            {[t.report.column, t.report.type, t.report.values, t.report.distribution, t.report.range, t.report.evidence].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {columns.map((column) => (
            <tr key={column.position}>
              <th scope="row">
                {column.sourceName}
                {column.sourceName === timeName ? (
                  <small>{t.report.asTime}</small>
                ) : (
                  column.name !== column.sourceName && <small>{t.report.renamed(column.name)}</small>
                )}
              </th>
              <td>
                <span className="type">{column.type ? (t.report.types[column.type] ?? column.type) : t.report.noType}</span>
              </td>
              <td>
                <Filling column={column} />
              </td>
              <td>
                <Distribution column={column} />
              </td>
              <td className="range">{column.min !== null && `${plain(column.min)} – ${plain(column.max ?? "")}`}</td>
              <td>{column.evidence}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Shortens times at midnight to their date. */
const plain = (value: string): string => value.replace(/T00:00:00(\.0+)?Z?$/, "").replace("T", " ").replace(/Z$/, "");

function Filling({ column: { fitting, misfits, nulls } }: { column: Column }) {
  const all = fitting + misfits + nulls || 1;
  return (
    <div className="filling">
      <span className="filling-bar" aria-hidden="true">
        <span className="good" style={{ width: `${(fitting / all) * 100}%` }} />
        <span className="bad" style={{ width: `${(misfits / all) * 100}%` }} />
      </span>
      <small>{nulls ? t.report.nulls(share(nulls / all)) : t.report.noNulls}</small>
    </div>
  );
}

function Rules({ rules }: { rules: Report["rules"] }) {
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={t.report.rules}>
      <table>
        <thead>
          <tr>
            {[t.report.ruleName, t.report.outcome, t.report.found, t.report.limit].map((name, index) => (
              <th key={name} scope="col" className={index > 1 ? "number" : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rules.map(({ rule, passed, found }) => {
            if (!rule) return null;
            const off = rule.severity === "OFF";
            const warned = rule.severity === "WARN";
            const tone = off ? "quiet" : passed ? "good" : warned ? "warn" : "bad";
            const isShare = rule.name.endsWith("_share");
            const shown = (value: number | null) => (value === null ? "" : isShare ? share(value) : figure(value));
            return (
              <tr key={rule.name}>
                <th scope="row">{t.report.rule[rule.name] ?? rule.name}</th>
                <td>
                  <span className={`status ${tone}`}>
                    {off ? t.report.off : passed ? t.report.kept : warned ? t.report.warned : t.report.broken}
                  </span>
                </td>
                <td className="number">{off ? "" : shown(found)}</td>
                <td className="number">{shown(rule.limit)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
