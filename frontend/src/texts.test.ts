import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { t } from "./texts";

/** Raised by the page alone. */
const OWN = "SERVER_AWAY";

test("every error code of the server has a heading, and no other: name a new one in texts.ts", () => {
  const catalogue = readFileSync("../docs/errors.md", "utf8");
  const codes = [...catalogue.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((found) => found[1]);
  expect(codes.length).toBeGreaterThan(100);
  expect(Object.keys(t.errors).sort()).toEqual([OWN, ...codes].sort());
});
