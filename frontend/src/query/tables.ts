// Tables and their columns, for the list and for completion.
import { useCallback, useEffect, useState } from "react";
import { type Problem, problemOf } from "../api/problems";
import { ask, type QueryColumn } from "./answer";

export type Tables = Record<string, QueryColumn[]>;

const MOST = 10_000;
const SQL = `SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS
WHERE TABLE_SCHEMA = 'druid' ORDER BY TABLE_NAME, ORDINAL_POSITION`;

export function useTables(): { tables: Tables | undefined; problem: Problem | undefined; reload: () => void } {
  const [tables, setTables] = useState<Tables>();
  const [problem, setProblem] = useState<Problem>();
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  useEffect(() => {
    const stop = new AbortController();
    ask(SQL, MOST, stop.signal).then(
      ({ rows }) => {
        const found: Tables = {};
        for (const [table, name, type] of rows as [string, string, string][]) {
          if (!name.startsWith("__load")) (found[table] ??= []).push({ name, type });
        }
        setTables(found);
        setProblem(undefined);
      },
      (failure: unknown) => {
        if (!stop.signal.aborted) setProblem(problemOf(failure));
      },
    );
    return () => stop.abort();
  }, [round]);
  return { tables, problem, reload };
}
