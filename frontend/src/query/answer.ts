// Queries, and how their results become CSV and charts.
import { post } from "../api/rest";

export interface QueryColumn {
  name: string;
  type: string;
}

export interface Answer {
  columns: QueryColumn[];
  rows: unknown[][];
  row_count: number;
  truncated: boolean;
  elapsed_ms: number;
}

export const ask = (sql: string, limit: number, signal: AbortSignal): Promise<Answer> => post("/api/query", { sql, limit }, signal);

const NUMERIC = new Set(["BIGINT", "INTEGER", "DOUBLE", "FLOAT", "REAL", "DECIMAL", "SMALLINT", "TINYINT"]);

export const isNumeric = (column: QueryColumn): boolean => NUMERIC.has(column.type);
export const isTime = (column: QueryColumn): boolean => column.type === "TIMESTAMP" || column.type === "DATE";

export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}

/** Makes names unique, as the server does: the first of several equal names stays, the others become
 *  name_2, name_3 and so on, skipping names that exist. */
export function distinct(names: string[]): string[] {
  const taken = new Set(names);
  const numbers = new Map<string, number>();
  return names.map((name) => {
    let number = numbers.get(name) ?? 0;
    let made = name;
    do {
      number += 1;
      if (number > 1) made = `${name}_${number}`;
    } while (number > 1 && taken.has(made));
    numbers.set(name, number);
    taken.add(made);
    return made;
  });
}

/** CSV by RFC 4180; null is an empty field. Cells that a spreadsheet program would execute as a formula get an apostrophe. */
export function toCsv({ columns, rows }: Pick<Answer, "columns" | "rows">): string {
  const field = (value: unknown) => {
    const text = cellText(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) && !/^[+-]?[\d.]+$/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const header = distinct(columns.map(({ name }) => name));
  return [header, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

export type Kind = "line" | "bar" | "scatter";

export interface Choice {
  kind: Kind;
  x: number;
  ys: number[];
}

/** The chart that fits the columns; null: none does. */
export function chooseChart(columns: QueryColumn[]): Choice | null {
  const numbers = columns.flatMap((column, place) => (isNumeric(column) ? [place] : []));
  const time = columns.findIndex(isTime);
  if (numbers.length === 0) return null;
  if (time >= 0) return { kind: "line", x: time, ys: numbers.slice(0, 3) };
  const words = columns.findIndex((column) => !isNumeric(column));
  if (words >= 0) return { kind: "bar", x: words, ys: numbers.slice(0, 1) };
  const [x, y] = numbers;
  return x !== undefined && y !== undefined ? { kind: "scatter", x, ys: [y] } : null;
}
