// Converts the rows of a result into the series of a chart.
import { cellText, isNumeric, isTime, type Answer, type Choice, type Kind } from "./answer";

export const MOST_BARS = 60;

export interface Series {
  kind: Kind;
  /** Whether x is seconds since 1970. */
  time: boolean;
  /** Labels of the positions 0, 1, 2 ... if x is text. */
  words: string[] | undefined;
  x: number[];
  ys: { name: string; values: (number | null)[] }[];
}

const number = (value: unknown): number | null => (value === null || value === undefined || value === "" ? null : Number(value));

/** The values for the plot: x as numbers (seconds for times, positions for texts), and the texts. */
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
