import { expect, it } from "vitest";
import { clean, cutTo, oneLine, pad, widthOf } from "../../../src/cli/text.ts";

it.each([
  ["\u001b[31mred\u001b[0m", "red"],
  ["\u001b]0;title\u0007text", "text"],
  ["\u001b]8;;https://evil.example\u001b\\link\u001b]8;;\u001b\\", "link"],
  ["bell\u0007 and\u0000 back\b", "bell\u{fffd} and\u{fffd} back\u{fffd}"],
  ["a\u009b31mb", "ab"],
  ["safe\u202etxt.exe", "safe\u{fffd}txt.exe"],
  ["line\r\nline\ttab", "line\nline\ttab"],
  ["overwritten\rby", "overwritten\u{fffd}by"],
  ["مرحبا 日本 👩‍👩‍👧", "مرحبا 日本 👩‍👩‍👧"],
])("takes from %j what a terminal would obey, and nothing else", (text, expected) => {
  expect(clean(text)).toBe(expected);
});

it("puts text on one line", () => {
  expect(oneLine(" a\n\n  b\tc ")).toBe("a b c");
});

it("cuts between characters as people count them, to columns as terminals count them", () => {
  expect(cutTo("short", 5)).toBe("short");
  expect(cutTo("longer", 5)).toBe("long…");
  expect(cutTo("日本語日本語", 6)).toBe("日本…");
  expect(cutTo("👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", 5)).toBe("👩‍👩‍👧👩‍👩‍👧…");
  expect(cutTo("e\u0301e\u0301e\u0301", 2)).toBe("e\u0301…");
  for (let width = 1; width < 20; width += 1) {
    expect(widthOf(cutTo("日a本b語c👩‍👩‍👧d🎉e", width))).toBeLessThanOrEqual(width);
  }
});

it("pads by columns", () => {
  expect(pad("日本", 6)).toBe("日本  ");
  expect(pad("too long", 3)).toBe("too long");
});
