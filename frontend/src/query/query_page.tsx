// Runs SQL and shows the result as a table or chart, with CSV export and a link.
import { Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { canRetry, type Problem, problemOf } from "../api/problems";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { later } from "../ui/later";
import { Empty, Loading, ProblemBox, useTitle } from "../ui/parts";
import { ask, chooseChart, toCsv, type Answer } from "./answer";
import type { Put } from "./editor";
import { ResultTable } from "./result_table";
import { queryPath, tableQuery } from "./sql";
import { useTables, type Tables } from "./tables";

const Editor = later(() => import("./editor"));
const ChartView = later(() => import("./chart_view"));

const LIMITS = [1000, 10_000, 100_000];
const DRAFT = "sluice.sql";

export default function QueryPage() {
  useTitle(t.titles.query);
  const wanted = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const table = wanted.get("table");
  const linked = wanted.get("sql") || (table && tableQuery(table));
  // The draft survives a reload and a visit to another page.
  const [draft] = useState(() => sessionStorage.getItem(DRAFT) ?? "");
  const [sql, setSql] = useState(linked || draft);
  const [put, setPut] = useState<Put | undefined>(
    linked ? { text: linked, over: draft } : undefined,
  );
  const [limit, setLimit] = useState(1000);
  const [answer, setAnswer] = useState<Answer>();
  const [problem, setProblem] = useState<Problem>();
  const [running, setRunning] = useState(false);
  const stop = useRef<AbortController>(undefined);
  const asked = useRef<string>(undefined);
  const { tables, reload } = useTables();

  const run = useCallback(
    async (statement: string) => {
      if (!statement.trim()) return;
      stop.current?.abort();
      const own = (stop.current = new AbortController());
      asked.current = statement;
      setRunning(true);
      setProblem(undefined);
      go(queryPath(statement), { replace: true });
      try {
        setAnswer(await ask(statement, limit, own.signal));
      } catch (failure) {
        if (!own.signal.aborted) {
          setAnswer(undefined);
          setProblem(problemOf(failure));
        }
      } finally {
        if (stop.current === own) setRunning(false);
      }
    },
    [go, limit],
  );

  const show = (text: string) => {
    setPut({ text, over: sql });
    setSql(text);
  };
  useEffect(() => {
    // A linked query is in the address; it does not replace the draft.
    if (sql !== linked || !sessionStorage.getItem(DRAFT)) sessionStorage.setItem(DRAFT, sql);
  }, [sql, linked]);
  const [followed, setFollowed] = useState(linked);
  if (linked !== followed) {
    setFollowed(linked);
    if (linked && linked !== sql) show(linked);
  }
  const opened = useRef<string>(undefined);
  useEffect(() => {
    const before = opened.current;
    opened.current = linked || "";
    // Running a query also changes the address; that query has already run.
    if (linked && linked !== before && linked !== asked.current) void run(linked);
  });
  useEffect(() => {
    // The query may have been the first one of a new table.
    if (answer) reload();
  }, [answer, reload]);

  return (
    <div className="page query">
      <h1>{t.query.title}</h1>
      <div className="query-layout">
        <TableList tables={tables} onPick={(name) => show(tableQuery(name))} />
        <div className="query-main">
          <div className="editor-box">
            <Suspense fallback={<textarea className="editor-waiting" value={sql} aria-label={t.query.sql} onChange={(event) => setSql(event.target.value)} />}>
              <Editor
                first={sql}
                put={put}
                onChange={setSql}
                onRun={(text) => void run(text)}
                tables={tables}
              />
            </Suspense>
          </div>
          <div className="actions query-actions">
            <button type="button" className="primary" onClick={() => void run(sql)} disabled={!sql.trim()}>
              <Icon name="play" />
              {t.query.run}
            </button>
            {running && (
              <button type="button" onClick={() => stop.current?.abort()}>
                {t.query.stop}
              </button>
            )}
            <label className="inline-field">
              {t.query.limit}
              <select value={limit} onChange={(event) => setLimit(Number(event.target.value))}>
                {LIMITS.map((each) => (
                  <option key={each} value={each}>
                    {t.query.rowsOption(each)}
                  </option>
                ))}
              </select>
            </label>
            <span className="hint">{t.query.hint}</span>
          </div>
          <div role="status" className="visually-hidden">
            {running ? t.query.running : answer ? t.query.result(answer.row_count, answer.elapsed_ms) : ""}
          </div>
          {running && <p className="asking">{t.query.running}</p>}
          {problem && <ProblemBox problem={problem} {...(canRetry(problem) ? { retry: () => void run(sql) } : {})} />}
          {answer && <Result answer={answer} />}
          {!answer && !problem && !running && (
            <Empty icon="chart">
              <p>{t.query.empty}</p>
            </Empty>
          )}
        </div>
      </div>
    </div>
  );
}

function TableList({ tables, onPick }: { tables: Tables | undefined; onPick: (name: string) => void }) {
  const names = Object.keys(tables ?? {});
  return (
    <aside className="tables" aria-label={t.query.tables}>
      <h2>{t.query.tables}</h2>
      {tables && names.length === 0 && <p className="hint">{t.query.noTables}</p>}
      <ul>
        {names.map((name) => (
          <li key={name}>
            <details>
              <summary>{name}</summary>
              <button type="button" className="text-button" onClick={() => onPick(name)}>
                {t.query.newest}
              </button>
              <ul>
                {tables?.[name]?.map((column) => (
                  <li key={column.name}>
                    <span>{column.name}</span>
                    <small>{column.type.toLowerCase()}</small>
                  </li>
                ))}
              </ul>
            </details>
          </li>
        ))}
      </ul>
    </aside>
  );
}

function Result({ answer }: { answer: Answer }) {
  const chart = useMemo(() => chooseChart(answer.columns), [answer]);
  const [view, setView] = useState<"table" | "chart">(chart && answer.columns.length <= 4 ? "chart" : "table");
  const [copied, setCopied] = useState(false);
  const save = () => {
    const url = URL.createObjectURL(new Blob([toCsv(answer)], { type: "text/csv" }));
    const link = Object.assign(document.createElement("a"), { href: url, download: "query.csv" });
    link.click();
    URL.revokeObjectURL(url);
  };
  const share = async () => {
    await navigator.clipboard.writeText(location.href);
    setCopied(true);
  };
  return (
    <section className="result" aria-label={t.query.resultLabel}>
      <div className="section-head">
        <p className="result-facts">
          {t.query.result(answer.row_count, answer.elapsed_ms)}
          {answer.truncated && <span className="warn-text"> · {t.query.cut}</span>}
        </p>
        <div className="actions">
          <div className="segments" role="group" aria-label={t.query.resultLabel}>
            {(["table", "chart"] as const).map((each) => (
              <button key={each} type="button" aria-pressed={view === each} onClick={() => setView(each)}>
                {t.query[each]}
              </button>
            ))}
          </div>
          <button type="button" onClick={save}>
            <Icon name="down" />
            {t.query.csv}
          </button>
          {isSecureContext && (
            <button type="button" onClick={() => void share()}>
              <Icon name="link" />
              {copied ? t.query.shared : t.query.share}
            </button>
          )}
        </div>
      </div>
      {answer.rows.length === 0 && <p className="hint">{t.query.noRows}</p>}
      {answer.rows.length > 0 && view === "table" && <ResultTable answer={answer} />}
      {answer.rows.length > 0 && view === "chart" && (
        <Suspense fallback={<Loading />}>{chart ? <ChartView key={JSON.stringify(chart)} answer={answer} first={chart} /> : <p className="hint">{t.query.noChart}</p>}</Suspense>
      )}
    </section>
  );
}
