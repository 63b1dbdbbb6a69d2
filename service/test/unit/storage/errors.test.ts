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

const prisma = (code: string, meta: object = {}, message = "Invalid invocation") =>
  Object.assign(new Error(message), { name: "PrismaClientKnownRequestError", code, meta });
const adapter = (cause: object) =>
  Object.assign(new Error("DriverAdapterError"), { name: "DriverAdapterError", cause });
const pgError = (code: string, more: object = {}) =>
  Object.assign(new Error("refused"), { code, severity: "ERROR", ...more });

const key = "projects_organization_id_key_key";
const taken = ["already_exists", "There is a project with this key already."];

test.each([
  [
    "the adapter's error carried by a raw query",
    prisma("P2010", {
      driverAdapterError: adapter({
        kind: "UniqueConstraintViolation",
        originalCode: "23505",
        constraint: { index: key },
      }),
    }),
  ],
  [
    "by a model's query",
    prisma("P2002", {
      modelName: "Project",
      driverAdapterError: adapter({ kind: "UniqueConstraintViolation", constraint: { index: key } }),
    }),
  ],
  ["a target by name", prisma("P2002", { target: key })],
  ["a constraint in meta", prisma("P2002", { constraint: { index: key } })],
  [
    "the database's code and sentence in meta",
    prisma("P2010", { code: "23505" }, `violates unique constraint "${key}"`),
  ],
  [
    "the adapter's error by itself, as from a commit",
    adapter({ kind: "UniqueConstraintViolation", originalCode: "23505", constraint: { index: key } }),
  ],
  ["pg's own", pgError("23505", { constraint: key })],
])("a broken uniqueness is recognized in every shape: %s", (_, error) => {
  expect(outcome(error)).toEqual(taken);
});

test("columns instead of a name still say that there is one", () => {
  const general = ["already_exists", "There is such an entry already."];
  expect(outcome(prisma("P2002", { target: ["organization_id", "key"] }))).toEqual(general);
  expect(outcome(adapter({ kind: "UniqueConstraintViolation", constraint: { fields: ["key"] } }))).toEqual(
    general,
  );
});

test.each([
  ["conflict", pgError("23503")],
  ["conflict", prisma("P2003")],
  ["conflict", adapter({ kind: "ForeignKeyConstraintViolation", originalCode: "23503" })],
  ["conflict", adapter({ kind: "postgres", code: "23514", message: "a subtask cannot have subtasks" })],
  ["unavailable", pgError("40001")],
  ["unavailable", adapter({ kind: "TransactionWriteConflict", originalCode: "40P01" })],
  ["unavailable", prisma("P2034")],
  ["unavailable", pgError("57014")],
  ["unavailable", pgError("57P01")],
  ["unavailable", pgError("53300")],
  ["unavailable", adapter({ kind: "TooManyConnections" })],
  ["unavailable", pgError("08006")],
  ["unavailable", prisma("P1001")],
  ["unavailable", prisma("P2024")],
  ["unavailable", prisma("P2028")],
  ["unavailable", adapter({ kind: "DatabaseNotReachable", host: "x", port: 1 })],
  ["unavailable", new Error("timeout exceeded when trying to connect")],
  ["unavailable", new Error("Connection terminated unexpectedly")],
  ["unavailable", Object.assign(new Error("connect"), { code: "ECONNREFUSED", syscall: "connect" })],
  ["unavailable", new AggregateError([Object.assign(new Error("connect"), { code: "ECONNREFUSED" })])],
  ["invalid_input", adapter({ kind: "InvalidInputValue", originalCode: "22P02" })],
  ["invalid_input", pgError("22008")],
  ["invalid_input", pgError("22021")],
  ["invalid_input", adapter({ kind: "postgres", code: "54000", message: "index row size 5432 exceeds" })],
])("%s: %s", (code, error) => {
  expect(outcome(error)).toEqual([code, expect.any(String)]);
});

test("says which rule of the graph was broken", () => {
  const depth = adapter({ kind: "postgres", code: "23514", message: "a subtask cannot have subtasks" });
  expect(outcome(depth)).toEqual(["conflict", "A subtask cannot have subtasks of its own."]);
});

test("defects stay as they are, and so do refusals of core's", () => {
  for (const error of [
    new TypeError("x is undefined"),
    pgError("42601"),
    prisma("P2010", { code: "42P01" }),
    "text",
    null,
  ]) {
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
  expect(isRetryable(prisma("P2034"))).toBe(true);
  expect(isRetryable(pgError("57014"))).toBe(false);
  expect(isRetryable(new AppError("conflict", "no", { cause: pgError("23505") }))).toBe(false);
  expect(isRetryable(new AppError("unavailable", "no"))).toBe(false);
});
