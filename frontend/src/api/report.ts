// The validation report, as sluice.validation.v1.Report comes in JSON. Fields that newer servers add are optional.
import type { Finding } from "./rest";

export interface Column {
  source_name: string;
  name: string;
  position: number;
  type: string | null;
  load_type: string | null;
  fitting: number;
  misfits: number;
  nulls: number;
  evidence: string;
  time_format: string;
  min: string | null;
  max: string | null;
  sum: number | null;
  mean: number | null;
  distinct: number | null;
  distinct_approximate: boolean;
  /** Values that histogram and most frequent values are counted in. */
  sample_values: number;
  histogram: { edges: number[]; counts: number[] } | null;
  top_values: { value: string; count: number }[];
}

/** How a column differs from the last load; `before` and `now` are for a person. */
export interface Drift {
  kind: "ADDED" | "MISSING" | "RETYPED" | "SHIFTED";
  column: string;
  before: string;
  now: string;
}

export interface RuleOutcome {
  rule: { name: string; severity: string | null; limit: number | null };
  passed: boolean;
  found: number;
  problems: Finding[];
}

export interface Reject {
  line: number;
  problems: Finding[];
}

export interface Report {
  format: string | null;
  verdict: "PASSED" | "REJECTED" | null;
  summary: string;
  problems: Finding[];
  dialect: { encoding: string; bom: boolean; delimiter: string; quote: string; line_end: string; header_line: number } | null;
  sheet: { name: string; header_row: number; all_names: string[] } | null;
  rows_read: number;
  rows_loadable: number;
  rows_rejected: number;
  rows_skipped: number;
  columns: Column[];
  time: {
    source_name: string;
    format: string;
    day_first: boolean | null;
    order_assumed: boolean;
    min_millis: number;
    max_millis: number;
    /** Days without a row, each from midnight to midnight. */
    gaps: { start_millis: number; end_millis: number }[];
    outliers: { kind: string; count: number }[];
  } | null;
  rules: RuleOutcome[];
  first_rejects: Reject[];
  duplicate_rows: number | null;
  /** The load before it, where there was one. */
  compared_with: string;
  drift: Drift[];
}
