// Which tables there are, for the list and for completion.
import { useCallback, useEffect, useState } from "react";
import { ask, type QueryColumn } from "./answer";

export type Tables = Record<string, QueryColumn[]>;

const MOST = 10_000;
const SQL = `SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS
WHERE TABLE_SCHEMA = 'druid' ORDER BY TABLE_NAME, ORDINAL_POSITION`;

export function useTables(): { tables: Tables | undefined; reload: () => void } {
  const [tables, setTables] = useState<Tables>();
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
      },
      // Without it there is no list and no completion; the query itself will say what is wrong.
      () => undefined,
    );
    return () => stop.abort();
  }, [round]);
  return { tables, reload };
}
