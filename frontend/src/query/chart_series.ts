// From an answer's rows to what a chart draws.
import { cellText, isNumeric, isTime, type Answer, type Choice, type Kind } from "./answer";

export const MOST_BARS = 60;

export interface Series {
  kind: Kind;
  /** Whether x is seconds since 1970. */
  time: boolean;
  /** Names of the places 0, 1, 2 ... where x is words. */
  words: string[] | undefined;
  x: number[];
  ys: { name: string; values: (number | null)[] }[];
}

const number = (value: unknown): number | null => (value === null || value === undefined || value === "" ? null : Number(value));

/** The values as the plot takes them: x as numbers (seconds for times, places for words), and the words. */
export function series({ columns, rows }: Pick<Answer, "columns" | "rows">, { kind, x, ys }: Choice): Series {
  const across = columns[x];
  const time = across !== undefined && isTime(across);
  const words = kind === "bar" || !across || !(time || isNumeric(across));
  const used = kind === "bar" ? rows.slice(0, MOST_BARS) : rows;
  const at = (row: unknown[], place: number): number | null => (words ? place : time ? Date.parse(String(row[x])) / 1000 : number(row[x]));
  const points = used.map((row, place) => ({ at: at(row, place), row })).filter((point): point is { at: number; row: unknown[] } => point.at !== null);
  if (!words) points.sort((a, b) => a.at - b.at);
  return {
    kind,
    time: time && !words,
    words: words ? used.map((row) => cellText(row[x]).replace(/T00:00:00(\.000)?Z$/, "")) : undefined,
    x: points.map((point) => point.at),
    ys: ys.map((place) => ({ name: columns[place]?.name ?? "", values: points.map(({ row }) => number(row[place])) })),
  };
}
