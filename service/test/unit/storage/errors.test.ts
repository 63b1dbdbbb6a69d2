import { expect, test } from "vitest";
import { AppError } from "../../../src/core/errors.ts";
import { isRetryable, translate } from "../../../src/storage/postgres/errors.ts";

function outcome(error: unknown): unknown {
  try {
    translate(error);
  } catch (thrown) {
    return thrown instanceof AppError ? [thrown.code, thrown.message] : thrown;
  }
}

const pgError = (code: string, more: object = {}) =>
  Object.assign(new Error("refused"), { code, severity: "ERROR", ...more });

test("a broken uniqueness says what there is already, as far as the index tells", () => {
  expect(outcome(pgError("23505", { constraint: "projects_organization_id_key_key" }))).toEqual([
    "already_exists",
    "There is a project with this key already.",
  ]);
  for (const error of [pgError("23505"), pgError("23505", { constraint: "another_index" })]) {
    expect(outcome(error)).toEqual(["already_exists", "There is such an entry already."]);
  }
});

test.each([
  ["conflict", pgError("23503")],
  ["conflict", pgError("23514")],
  ["unavailable", pgError("40001")],
  ["unavailable", pgError("40P01")],
  ["unavailable", pgError("57014")],
  ["unavailable", pgError("57P01")],
  ["unavailable", pgError("53300")],
  ["unavailable", pgError("08006")],
  ["unavailable", new Error("timeout exceeded when trying to connect")],
  ["unavailable", new Error("Connection terminated unexpectedly")],
  ["unavailable", Object.assign(new Error("connect"), { code: "ECONNREFUSED", syscall: "connect" })],
  ["unavailable", new AggregateError([Object.assign(new Error("connect"), { code: "ECONNREFUSED" })])],
  ["invalid_input", pgError("22P02")],
  ["invalid_input", pgError("22008")],
  ["invalid_input", pgError("22021")],
  ["invalid_input", pgError("54000")],
])("%s: %s", (code, error) => {
  expect(outcome(error)).toEqual([code, expect.any(String)]);
});

test("says which rule of the graph was broken", () => {
  const depth = pgError("23514", { constraint: "tasks_depth_check" });
  expect(outcome(depth)).toEqual(["conflict", "A subtask cannot have subtasks of its own."]);
});

test("defects stay as they are, and so do refusals of core's", () => {
  for (const error of [new TypeError("x is undefined"), pgError("42601"), "text", null]) {
    expect(outcome(error)).toBe(error);
  }
  const refusal = new AppError("cycle", "a, b, a");
  expect(outcome(refusal)).toEqual(["cycle", "a, b, a"]);
});

test("only what the database gave up on is run again, also when it was translated before", () => {
  const deadlock = pgError("40P01");
  expect(isRetryable(deadlock)).toBe(true);
  expect(isRetryable(new AppError("unavailable", "again", { cause: deadlock }))).toBe(true);
  const inBatch = new AppError("unavailable", "Operation 3: again", {
    cause: new AppError("unavailable", "again", { cause: deadlock }),
  });
  expect(isRetryable(inBatch)).toBe(true);
  expect(isRetryable(pgError("57014"))).toBe(false);
  expect(isRetryable(new AppError("conflict", "no", { cause: pgError("23505") }))).toBe(false);
  expect(isRetryable(new AppError("unavailable", "no"))).toBe(false);
});
