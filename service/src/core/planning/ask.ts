import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { AppError } from "../errors.ts";
import { findUnstorable } from "../text.ts";
import type { LanguageModel, Question } from "./model.ts";

/** One thing that a use case wants to know, and how it sees whether the answer can be used. */
export interface Wanted<T extends TSchema>
  extends Pick<Question, "instructions" | "data" | "name" | "signal"> {
  schema: T;
  /** What is wrong with an answer that fits the schema; empty when nothing is. */
  check?(answer: Static<T>): string[];
  /** Called before it is asked a second time, with what was wrong. */
  again?(faults: string[]): Promise<void>;
}

/** As many as help a model to mend its answer. */
const maximumFaults = 10;

/**
 * The model's answer, checked as any other input is: nothing in it is taken on trust. An answer that is not valid is
 * sent back once, with what is wrong. Throws AppError llm_failed.
 */
export async function ask<T extends TSchema>(model: LanguageModel, wanted: Wanted<T>): Promise<Static<T>> {
  const { instructions, data, name, schema, signal } = wanted;
  const question: Question = { instructions, data, name, schema, signal };
  const first = await model.answer(question);
  const read = reader(wanted);
  const found = read(first);
  if ("answer" in found) return found.answer;
  await wanted.again?.(found.faults);
  const second = await model.answer({ ...question, earlier: { answer: first, faults: found.faults } });
  const mended = read(second);
  if ("answer" in mended) return mended.answer;
  throw new AppError("llm_failed", `The language model's answer was not valid, twice: ${mended.faults[0]}`, {
    details: { cause: "invalid_answer", faults: mended.faults },
  });
}

function reader<T extends TSchema>({ schema, check }: Wanted<T>) {
  const compiled = Compile(schema);
  return (text: string): { answer: Static<T> } | { faults: string[] } => {
    let value: unknown;
    try {
      value = JSON.parse(unfenced(text));
    } catch {
      return { faults: ["It is no JSON."] };
    }
    const unstorable = findUnstorable(value).map(({ pointer, detail }) => `${pointer}: ${detail}`);
    if (unstorable.length > 0) return { faults: unstorable.slice(0, maximumFaults) };
    if (!compiled.Check(value)) {
      const faults = [...compiled.Errors(value)].map(
        ({ instancePath, message }) => `${instancePath || "/"} ${message}`,
      );
      return { faults: faults.slice(0, maximumFaults) };
    }
    const answer: Static<T> = value;
    const faults = check?.(answer) ?? [];
    return faults.length === 0 ? { answer } : { faults: faults.slice(0, maximumFaults) };
  };
}

/** Models that know no schema like to wrap JSON into a block of Markdown. */
function unfenced(text: string): string {
  return /^\s*```(?:json)?\s*\n([\s\S]*?)\n\s*```\s*$/.exec(text)?.[1] ?? text;
}
