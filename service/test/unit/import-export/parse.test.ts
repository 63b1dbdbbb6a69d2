import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_DEPTH, nodeValue, parseJson } from "../../../src/core/import-export/parse.ts";

const codes = (text: string) => parseJson(text).problems.map(({ pointer, code }) => [pointer, code]);

describe("parseJson", { timeout: 60_000 }, () => {
  it("keeps the order of members, also of those that look like integers", () => {
    const { root } = parseJson('{"10": 1, "2": 2, "__proto__": 3, "a": 4}');
    expect(root?.kind === "object" && root.members.map((member) => member.key)).toEqual([
      "10",
      "2",
      "__proto__",
      "a",
    ]);
  });

  it("keeps the text of numbers and names", () => {
    const { root, text } = parseJson('{"\\u0061": 3.10}');
    expect(root?.kind).toBe("object");
    if (root?.kind !== "object") return;
    const [member] = root.members;
    expect(member?.key).toBe("a");
    expect(text.slice(member?.start, member?.end)).toBe('"\\u0061"');
    expect(text.slice(member?.value.start, member?.value.end)).toBe("3.10");
  });

  it("reads behind a byte order mark", () => {
    const { root, text, problems } = parseJson("\ufeff[1]");
    expect(problems).toEqual([]);
    expect(root === undefined ? undefined : nodeValue(root, text)).toEqual([1]);
  });

  it.each(["", " \n\t\r\n", "\ufeff"])("calls %j an empty file", (text) => {
    expect(codes(text)).toEqual([["", "empty_file"]]);
  });

  it.each([
    ['{"a": 1,\n  "b": }', "line 2, column 8"],
    ["[1, 2", "ends too early: line 1, column 6"],
    ["[1,]", "line 1, column 4"],
    ['{"a": 1,}', "line 1, column 9"],
    ["// note\n[]", "line 1, column 1"],
    ["[] []", "line 1, column 4"],
    ['["a\nb"]', "line 1, column 2"],
    ["[01]", "line 1, column 3"],
    ["[1.]", "line 1, column 2"],
    ["{a: 1}", "line 1, column 2"],
    ["['a']", "line 1, column 2"],
    ["[\u00a01]", "line 1, column 2"],
    ["[NaN]", "line 1, column 2"],
    ['["\\x"]', "line 1, column 2"],
  ])("says where %j is malformed", (text, place) => {
    const { root, problems } = parseJson(text);
    expect(root).toBeUndefined();
    expect(problems).toEqual([
      { pointer: "", code: "malformed_json", detail: expect.stringContaining(place) },
    ]);
  });

  it("names a member that stands twice, at any depth, by its pointer", () => {
    expect(codes('{"a/b": [{"x": 1, "y": 2, "x": 3}]}')).toEqual([["/a~1b/0/x", "duplicate_member"]]);
    expect(codes('{"a": 1, "\\u0061": 2}')).toEqual([["/a", "duplicate_member"]]);
    expect(codes('{"a": {"b": 1}, "c": {"b": 1}}')).toEqual([]);
  });

  it("names what the database cannot hold", () => {
    expect(codes('{"a": "x\\u0000", "b\\ud800": 1, "c": ["\\udc00\\ud800"], "d": "\\ud83d\\ude00"}')).toEqual(
      [
        ["/a", "not_storable"],
        ["/b\ufffd", "not_storable"],
        ["/c/0", "not_storable"],
      ],
    );
    expect(codes('["a\ud800"]')).toEqual([["/0", "not_storable"]]);
    expect(codes("[1e400, -1e400, 1e308]")).toEqual([
      ["/0", "not_storable"],
      ["/1", "not_storable"],
    ]);
  });

  it("reads a hundred levels and refuses one more", () => {
    const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
    expect(codes(nested(MAX_DEPTH))).toEqual([]);
    expect(codes(nested(MAX_DEPTH + 1))).toEqual([["/0".repeat(MAX_DEPTH), "too_deep"]]);
  });

  it.each(["[", '{"a":', '"\n[', '/*"*/['])("does not overflow on 100,000 of %j", (opening) => {
    const text = `[${opening.repeat(100_000)}`;
    expect(["too_deep", "malformed_json"]).toContain(parseJson(text).problems[0]?.code);
  });

  it("bounds the list of its problems by the length of the pointers", () => {
    const text = `{"${"k".repeat(100_000)}": {${'"a":1,'.repeat(1000)}"b":1}}`;
    const { problems } = parseJson(text);
    expect(problems.length).toBeGreaterThan(1);
    expect(problems.length).toBeLessThan(20);
  });

  it("takes exactly the texts that JSON.parse takes, with the same value", () => {
    const edit = fc.record({
      at: fc.nat(),
      put: fc.constantFrom("", ",", '"', "\\", "}", "[", "0", "-", ".", "e", "\n", " ", "/", "n"),
    });
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.array(edit, { maxLength: 2 }), (json, edits) => {
        let text = json;
        for (const { at, put } of edits) {
          const place = at % (text.length + 1);
          text = `${text.slice(0, place)}${put}${text.slice(place + (put === "" ? 1 : 0))}`;
        }
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          expect(parseJson(text).root).toBeUndefined();
          return;
        }
        const { root, text: read } = parseJson(text);
        expect(root).toBeDefined();
        expect(root === undefined ? undefined : nodeValue(root, read)).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });
});
