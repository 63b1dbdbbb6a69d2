import { ConfigError } from "../config.ts";
import { AppError } from "../core/index.ts";

/** Whether it is a fault that the operator can mend, whose message says it; anything else is a defect. */
export function isExplained(error: unknown): error is Error {
  // The system and PostgreSQL put a code on theirs: a refused connection, a wrong password, a missing database.
  const coded = error instanceof Error && "code" in error && typeof error.code === "string";
  return error instanceof ConfigError || error instanceof AppError || coded;
}
