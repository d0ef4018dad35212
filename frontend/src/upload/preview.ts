// The first rows of a file, read in the browser from its first megabyte.
import Papa from "papaparse";

const BYTES = 1024 * 1024;
const ROWS = 6;

export interface Preview {
  header: string[];
  rows: string[][];
}

/** Decodes bytes that may end within a character: UTF-16 with a byte order mark, UTF-8, or else Windows-1252. */
export function decode(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    // `stream` accepts an incomplete last character.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Parses the first rows. If the text is not `whole`, its last row may be incomplete. Null: not a table. */
export function parse(text: string, whole: boolean): Preview | null {
  const { data } = Papa.parse<string[]>(text, { preview: ROWS + 2, skipEmptyLines: "greedy" });
  const trusted = !whole && data.length < ROWS + 2 ? data.slice(0, -1) : data;
  const [header, ...rows] = trusted;
  if (!header || header.length < 2) return null;
  return { header, rows: rows.slice(0, ROWS) };
}

export async function preview(file: File): Promise<Preview | null> {
  const bytes = new Uint8Array(await file.slice(0, BYTES).arrayBuffer());
  return parse(decode(bytes), file.size <= BYTES);
}
