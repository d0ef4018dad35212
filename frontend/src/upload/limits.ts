import { useRead } from "../api/rest";

/** What GET /api/limits says, as far as the page uses it. */
export interface Limits {
  max_file_bytes: number;
  /** What a file's name may end with: lower case, with the dot. */
  extensions: string[];
}

/** The server's limits; undefined until they are known. Until then the server alone rejects files. */
export const useLimits = (): Limits | undefined => useRead<Limits>("/api/limits").data;
