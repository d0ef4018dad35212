import { expect, test } from "vitest";
import { decode, parse } from "./preview";

test("a preview is the header and the first rows", () => {
  expect(parse("a;b\n1;2\n\n3;4\n", true)).toEqual({ header: ["a", "b"], rows: [["1", "2"], ["3", "4"]] });
});

test("an incomplete last row is not shown", () => {
  expect(parse('a,b\n1,2\n3,"4', false)?.rows).toEqual([["1", "2"]]);
});

test("text of one column is not a table", () => {
  expect(parse("hello\nworld\n", true)).toBeNull();
  expect(parse("", true)).toBeNull();
});

test("encodings are detected, also if the last character is incomplete", () => {
  const utf8 = new TextEncoder().encode("Málaga");
  expect(decode(utf8)).toBe("Málaga");
  expect(decode(utf8.slice(0, 2))).toBe("M");
  expect(decode(Uint8Array.from([0x4d, 0xe1, 0x6c, 0x61]))).toBe("Mála");
  expect(decode(Uint8Array.from([0xff, 0xfe, 0x4d, 0x00]))).toBe("M");
});
