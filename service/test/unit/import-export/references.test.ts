import { describe, expect, it } from "vitest";
import {
  readId,
  readReference,
  segmentJson,
  segmentNumber,
} from "../../../src/core/import-export/references.ts";

describe("readReference", () => {
  it.each([
    ["3", null, "3"],
    ["0", null, "0"],
    ['"7"', null, "7"],
    ['"007"', null, "7"],
    ["2.0", null, "2"],
    ["1e1", null, "10"],
    ["1.2", "1", "2"],
    ["3.10", "3", "10"],
    ['"3.10"', "3", "10"],
    ['"login-page"', null, "login-page"],
    ['"auth.login_2"', "auth", "login_2"],
    ['"작업"', null, "작업"],
    ['"مهمة-١"', null, "مهمة-١"],
    ["12345678901234567890", null, "12345678901234567890"],
  ])("reads %s", (json, parent, segment) => {
    expect(readReference(json)).toEqual({ parent, segment });
  });

  it.each([
    "null",
    "true",
    "{}",
    "[1]",
    "-1",
    "1.5e-7",
    '""',
    '"1,2"',
    '"1.2.3"',
    '"."',
    '"1."',
    '".1"',
    '"a b"',
    `"${"x".repeat(101)}"`,
  ])("finds none in %s", (json) => {
    expect(readReference(json)).toBeUndefined();
  });
});

describe("readId", () => {
  it("takes a dotted id only where it repeats the parent", () => {
    expect(readId("3.2", "3")).toBe("2");
    expect(readId('"3.2"', "3")).toBe("2");
    expect(readId("3.2", "4")).toBeUndefined();
    expect(readId("3.2", null)).toBeUndefined();
    expect(readId("2", "3")).toBe("2");
  });
});

it("writes a number only where JSON keeps it, and counts on only from small ones", () => {
  expect(segmentJson("12")).toBe("12");
  expect(segmentJson("a-b")).toBe('"a-b"');
  expect(segmentJson("12345678901234567890")).toBe('"12345678901234567890"');
  expect(segmentNumber("12")).toBe(12);
  expect(segmentNumber("1700000000000")).toBeNull();
  expect(segmentNumber("a")).toBeNull();
});
