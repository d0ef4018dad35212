// Rows of a result; only the visible ones are in the DOM.
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useMemo, useRef } from "react";
import { count } from "../format";
import { t } from "../texts";
import { cellText, isNumeric, isTime, type Answer, type QueryColumn } from "./answer";

const ROW_PX = 34;
const SAMPLE = 100;

/** Width of each column in characters, from its name and first values. */
function widths({ columns, rows }: Answer): number[] {
  return columns.map(({ name }, place) => {
    const longest = rows.slice(0, SAMPLE).reduce((most, row) => Math.max(most, shown(row[place]).length), name.length + 1);
    return Math.min(Math.max(longest + 3, 8), 40);
  });
}

/** Omits the time at midnight. */
const shown = (value: unknown): string => cellText(value).replace(/T00:00:00(\.000)?Z$/, "");

export function ResultTable({ answer }: { answer: Answer }) {
  const scroller = useRef<HTMLDivElement>(null);
  const { columns, rows } = answer;
  const grid = useMemo(
    () =>
      widths(answer)
        .map((width) => `minmax(${width}ch, 1fr)`)
        .join(" "),
    [answer],
  );
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoised on its functions
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_PX, overscan: 10 });
  return (
    <div className="virtual" ref={scroller} tabIndex={0} role="region" aria-label={t.query.rowsLabel}>
      <div role="table" aria-rowcount={rows.length + 1} aria-colcount={columns.length} aria-label={t.query.rowsLabel}>
        <div role="rowgroup" className="virtual-head">
          <div role="row" className="virtual-row" aria-rowindex={1} style={{ gridTemplateColumns: grid }}>
            {columns.map((column, place) => (
              <div key={place} role="columnheader" className={isNumeric(column) ? "number" : ""}>
                {column.name} <small>{column.type.toLowerCase()}</small>
              </div>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="virtual-body" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map(({ index, start }) => (
            <Row key={index} index={index} start={start} values={rows[index] ?? []} columns={columns} grid={grid} />
          ))}
        </div>
      </div>
    </div>
  );
}

interface RowProps {
  index: number;
  start: number;
  values: unknown[];
  columns: QueryColumn[];
  grid: string;
}

/** Memoized, so that scrolling does not render visible rows again. */
const Row = memo(function Row({ index, start, values, columns, grid }: RowProps) {
  return (
    <div role="row" aria-rowindex={index + 2} className="virtual-row" style={{ gridTemplateColumns: grid, transform: `translateY(${start}px)` }}>
      {columns.map((column, place) => (
        <Cell key={place} value={values[place]} numeric={isNumeric(column)} time={isTime(column)} />
      ))}
    </div>
  );
});

function Cell({ value, numeric, time }: { value: unknown; numeric: boolean; time: boolean }) {
  if (value === null || value === undefined) {
    return (
      <div role="cell" className={`null ${numeric ? "number" : ""}`}>
        {t.query.null}
      </div>
    );
  }
  const text = numeric && typeof value === "number" && Number.isInteger(value) ? count(value) : time ? shown(value) : cellText(value);
  return (
    <div role="cell" className={numeric ? "number" : ""} title={text.length > 40 ? text : undefined}>
      {text}
    </div>
  );
}
