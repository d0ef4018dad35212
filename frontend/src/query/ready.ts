// Questions that a table can answer at once, made from what validation found in its file.
import type { Column, Report } from "../api/report";
import { t } from "../texts";

export interface Ready {
  title: string;
  sql: string;
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

const DAY = 86_400_000;
const NUMBERS = new Set(["LONG", "DOUBLE"]);
/** A sum of these says nothing. */
const NO_MEASURE = /(^|_)(id|no|nr|number|code|zip|postal|postcode|year|month|day|lat|lon|latitude|longitude|price|rate|discount|percent|share)(_|$)/i;
const MEASURE = /(revenue|sales|amount|total|profit|value|turnover|cost|quantity|qty|units|count)/i;
const GROUP = /(category|region|type|segment|channel|country|state|status|city|product|class|kind|name)/i;
const NO_GROUP = /(^|_)(id|no|nr|comment|note|description|address)(_|$)/i;

function best(columns: Column[], wanted: RegExp, unwanted: RegExp): Column | undefined {
  const fit = columns.filter(({ name }) => !unwanted.test(name.replaceAll(/[^A-Za-z0-9]+/g, "_")));
  return fit.find(({ name }) => wanted.test(name)) ?? fit[0];
}

/** The grain that gives a chart some ten to a few hundred points. */
export function grain(millis: number): string {
  const days = millis / DAY;
  if (days > 20 * 365) return "P1Y";
  if (days > 2 * 365) return "P1M";
  if (days > 200) return "P1W";
  if (days > 5) return "P1D";
  return "PT1H";
}

export function readyQueries(datasource: string, report: Report): Ready[] {
  const table = quoted(datasource);
  const measure = best(
    report.columns.filter(({ load_type }) => NUMBERS.has(load_type ?? "")),
    MEASURE,
    NO_MEASURE,
  );
  const group = best(
    report.columns.filter(({ load_type, type }) => load_type === "STRING" && type === "TEXT"),
    GROUP,
    NO_GROUP,
  );
  const what = measure ? `SUM(${quoted(measure.name)})` : "COUNT(*)";
  const name = measure?.name ?? t.ready.rows;
  const made: Ready[] = [];
  if (report.time) {
    const period = grain(report.time.max_millis - report.time.min_millis);
    made.push({
      title: t.ready.overTime(name),
      sql: `SELECT TIME_FLOOR(__time, '${period}') AS "time", ${what} AS ${quoted(name)}\nFROM ${table}\nGROUP BY 1\nORDER BY 1`,
    });
  }
  if (group) {
    made.push({
      title: t.ready.by(name, group.name),
      sql: `SELECT ${quoted(group.name)}, ${what} AS ${quoted(name === group.name ? t.ready.rows : name)}\nFROM ${table}\nGROUP BY 1\nORDER BY 2 DESC\nLIMIT 20`,
    });
  }
  made.push({ title: t.ready.preview, sql: `SELECT *\nFROM ${table}\nORDER BY __time DESC\nLIMIT 100` });
  return made;
}
