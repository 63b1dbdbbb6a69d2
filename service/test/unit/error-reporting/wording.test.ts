import { defaultStackParser } from "@sentry/node";
import { expect, it } from "vitest";
import { wordExceptions } from "../../../src/error-reporting/wording.ts";

const thrown = { ["hu".concat("sh")]: "hush" };
const parse = defaultStackParser;
const caught = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
};

it.each([
  ["what a parser quotes", () => JSON.parse("hush")],
  ["what the engine prints", () => "hush" in ("hush" as unknown as object)],
  ["what a number is made of", () => BigInt("hush")],
  ["what an address holds", () => new URL("hush")],
  [
    "what a property is called by",
    () => {
      const fail = () => {
        throw new Error("x");
      };
      const name = "hush hush";
      return { [name]: fail }[name]?.();
    },
  ],
  [
    "a name that is a sentence",
    () => {
      throw Object.assign(new Error("x"), { name: "hush hush" });
    },
  ],
  [
    "lines that look like frames",
    () => {
      throw new Error("x\n    at hush (hush.ts:1:1)");
    },
  ],
  [
    "a message that was changed",
    () => {
      throw Object.assign(new Error("hush\n    at hush (hush.ts:1:1)"), { message: "other" });
    },
  ],
  [
    "the message of a cause",
    () => {
      throw new Error("x", { cause: new Error("hush") });
    },
  ],
  [
    "what is no error",
    () => {
      throw thrown;
    },
  ],
])("lets nothing out of %s", (_what, work) => {
  // The test's own names must not count.
  const text = JSON.stringify(wordExceptions(caught(work), parse));
  expect(text).toMatch(/"type":"\w+"/);
  expect(text).not.toContain("hush");
});

it("keeps the type, the place and what the engine always says in the same words", () => {
  const [exception] = wordExceptions(
    caught(() => (undefined as unknown as { title: string }).title),
    parse,
  );
  expect(exception).toMatchObject({
    type: "TypeError",
    value: "Cannot read properties of undefined",
    stacktrace: {
      frames: expect.arrayContaining([expect.objectContaining({ filename: import.meta.filename })]),
    },
  });
});

it("names the causes before what they caused, and ends where they go round", () => {
  const round = new RangeError("a");
  round.cause = new TypeError("b", { cause: round });
  const types = wordExceptions(round, parse).map(({ type }) => type);
  expect(types).toEqual(["RangeError", "TypeError", "RangeError", "TypeError", "RangeError"]);
});
