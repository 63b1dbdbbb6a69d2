import { FlagdCore, MemoryStorage } from "@openfeature/flagd-core";
import type {
  EvaluationContext,
  JsonValue,
  Logger,
  Provider,
  ResolutionDetails,
} from "@openfeature/server-sdk";
import { flagNames } from "../core/index.ts";

/** Evaluates definitions in flagd's own form, by flagd's own rules (https://flagd.dev/reference/flag-definitions/). */
export class DefinitionsProvider implements Provider {
  readonly runsOn = "server";
  readonly metadata: { name: string };
  readonly #logger: Logger;
  #core: FlagdCore;

  /** Throws an Error that says what is wrong with the definitions. */
  constructor(name: string, text: string, logger: Logger) {
    this.metadata = { name };
    this.#logger = logger;
    this.#core = read(text, logger);
  }

  /** Throws an Error as well, and then goes on with what was there. */
  replace(text: string): void {
    this.#core = read(text, this.#logger);
  }

  async resolveBooleanEvaluation(
    flag: string,
    fallback: boolean,
    context: EvaluationContext,
    logger: Logger,
  ): Promise<ResolutionDetails<boolean>> {
    return this.#core.resolveBooleanEvaluation(flag, fallback, context, logger);
  }

  async resolveStringEvaluation(
    flag: string,
    fallback: string,
    context: EvaluationContext,
    logger: Logger,
  ): Promise<ResolutionDetails<string>> {
    return this.#core.resolveStringEvaluation(flag, fallback, context, logger);
  }

  async resolveNumberEvaluation(
    flag: string,
    fallback: number,
    context: EvaluationContext,
    logger: Logger,
  ): Promise<ResolutionDetails<number>> {
    return this.#core.resolveNumberEvaluation(flag, fallback, context, logger);
  }

  async resolveObjectEvaluation<T extends JsonValue>(
    flag: string,
    fallback: T,
    context: EvaluationContext,
    logger: Logger,
  ): Promise<ResolutionDetails<T>> {
    return this.#core.resolveObjectEvaluation(flag, fallback, context, logger);
  }
}

function read(text: string, logger: Logger): FlagdCore {
  // The rules are interpreted: compiled, they would be made into code out of a file's text.
  const options = { disableDynamicCodeGeneration: true };
  const storage = new MemoryStorage(logger, options);
  parseJson(text);
  try {
    storage.setConfigurations(text, true);
  } catch (error) {
    throw new Error(`It is not in flagd's form: ${messageOf(error)}`);
  }
  for (const [name, flag] of storage.getFlags()) {
    if (!flagNames.some((known) => known === name)) {
      throw new Error(`It defines ${JSON.stringify(name)}, but the flags are ${flagNames.join(" and ")}.`);
    }
    if ([...flag.variants.values()].some((value) => typeof value !== "boolean")) {
      throw new Error(`The variants of ${name} must be true or false.`);
    }
  }
  return new FlagdCore(storage, logger, options);
}

function parseJson(text: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`It is not JSON: ${messageOf(error)}`);
  }
}

/** The validator's own words hold a page of JSON. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const faults = [...message.matchAll(/"instancePath": "([^"]*)"[\s\S]*?"message": "([^\n]*)"\n/g)];
  if (faults.length === 0) return message;
  return faults
    .slice(0, 5)
    .map(([, pointer, fault]) => `${pointer === "" ? "it" : pointer} ${fault}`)
    .join("; ");
}
