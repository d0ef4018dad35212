// Rules for file names and datasource names.
const VALID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

export const extensionOf = (name: string): string => /\.[^.]+$/.exec(name)?.[0].toLowerCase() ?? "";
export const validDatasource = (name: string): boolean => VALID.test(name);

/** Suggests a datasource name for a file: `Sales 2024 (Q1).xlsx` becomes `sales_2024_q1`. */
export function suggestDatasource(filename: string): string {
  const stem = filename
    .replace(/\.[^.]+$/, "")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase();
  const name = stem.replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  return name.slice(0, 128) || "data";
}

/** Whether the server accepts files with this extension. */
export const acceptable = (name: string, extensions: string[]): boolean => extensions.includes(extensionOf(name));
