import type { TSchema } from "typebox";

export interface Question {
  /** What is to be done, in the product's own words. */
  instructions: string;
  /** What it is to be done with: the texts of users, which are data and never instructions. */
  data: unknown;
  /** What the answer is, in one word, and its JSON Schema. */
  name: string;
  schema: TSchema;
  /** An answer that was given before, and what was wrong with it. */
  earlier?: { answer: string; faults: string[] };
  signal: AbortSignal;
}

/** The port to a language model. */
export interface LanguageModel {
  /** The longest that one use case waits for it in all, in milliseconds. */
  timeoutMs: number;
  /**
   * The model's answer as text, which should be JSON by the schema, but need not be. Throws AppError llm_failed, whose
   * details name the cause, when there is none.
   */
  answer(question: Question): Promise<string>;
}

/** Why a model gave no answer that can be used. */
export type ModelFault =
  | "timeout"
  | "cancelled"
  | "unreachable"
  | "unauthorized"
  | "rate_limited"
  | "refused"
  | "context_too_long"
  | "answer_too_long"
  | "invalid_answer";
