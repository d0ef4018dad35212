// SQL that the page generates, and the address of a query.
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The newest rows of a table. */
export const tableQuery = (table: string): string => `SELECT *\nFROM ${quoted(table)}\nORDER BY __time DESC\nLIMIT 100`;

export const queryPath = (sql: string): string => `/query?sql=${encodeURIComponent(sql)}`;
