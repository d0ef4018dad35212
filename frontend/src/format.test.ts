import { expect, test } from "vitest";
import { ago, duration, moment, share, size, span, uuid } from "./format";

test("sizes, durations and shares", () => {
  expect([0, 999, 1024, 91.1 * 1024, 500 * 1024 ** 2].map(size)).toEqual(["0 B", "999 B", "1 KiB", "91.1 KiB", "500 MiB"]);
  expect([0.04, 0.8, 42.4, 59.99, 125, 7260].map(duration)).toEqual(["< 0.1 s", "0.8 s", "42 s", "60 s", "2 min 5 s", "2 h 1 min"]);
  expect([0, 0.00001, 0.5, 0.99999, 1].map(share)).toEqual(["0 %", "< 0.1 %", "50 %", "> 99.9 %", "100 %"]);
});

test("times", () => {
  const now = Date.UTC(2026, 0, 2);
  expect(ago("2026-01-01T22:00:00Z", now)).toBe("2 hours ago");
  expect(ago("2026-01-02T00:00:05Z", now)).toBe("now");
  expect(moment(now)).toBe("2026-01-02");
  expect(moment(now + 1000)).toBe("2026-01-02 00:00:01");
  expect(span("2026-01-02T00:00:00.000Z/2026-02-01T12:00:00.000Z")).toBe("2026-01-02 – 2026-02-01 12:00:00");
});

test("UUIDs are random and of version 4", () => {
  expect(uuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuid()).not.toBe(uuid());
});
