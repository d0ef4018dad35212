import { useRead } from "../api/rest";

/** The fields of GET /api/limits that the page uses. */
export interface Limits {
  max_file_bytes: number;
  /** Accepted file extensions: lower case, with the dot. */
  extensions: string[];
}

/** The limits of the server; undefined until loaded: then only the server rejects files. */
export const useLimits = (): Limits | undefined => useRead<Limits>("/api/limits").data;
