import { Ajv, type ErrorObject } from "ajv";
import ajvFormats from "ajv-formats";
import type { FastifySchemaCompiler } from "fastify";
import { escapePointer, type InputError } from "../core/index.ts";

import { Refusal } from "./problem.ts";

const common = {
  allErrors: true,
  removeAdditional: false,
  useDefaults: true,
  verbose: true,
  strictTypes: false,
} as const;

/**
 * Compiles a route's schemas. What is in a body has types and is taken as it is; what is in an address or a header is
 * text, and is read as the type that the schema wants. Each is compiled when it is first asked for: a start should not wait,
 * nor a process hold memory, for the schemas of routes that nobody calls.
 */
export function buildValidatorCompiler(): FastifySchemaCompiler<object> {
  const typed = new Ajv({ ...common, coerceTypes: false });
  const textual = new Ajv({ ...common, coerceTypes: "array" });
  for (const ajv of [typed, textual]) ajvFormats.default(ajv, ["date-time"]);
  // Routes share most of their schemas, and compiling one costs more than a request does.
  const compiled = new Map<string, ReturnType<FastifySchemaCompiler<object>>>();
  return ({ schema: given, httpPart }) => {
    const schema = httpPart === "headers" ? withLowerCaseNames(given) : given;
    const ajv = httpPart === "body" ? typed : textual;
    const key = `${httpPart} ${JSON.stringify(schema)}`;
    const known = compiled.get(key);
    if (known !== undefined) return known;
    let validate: ReturnType<typeof ajv.compile> | undefined;
    const base = bases[httpPart ?? ""] ?? "";
    const validator = (value: unknown) => {
      validate ??= ajv.compile(schema);
      if (validate(value)) return { value };
      const errors = explain(validate.errors ?? [], base);
      const status = base === "" ? 422 : 400;
      return { error: new Refusal("invalid_input", summary(errors), { status, errors }) };
    };
    compiled.set(key, validator);
    return validator;
  };
}

/** Headers arrive with their names in lower case, whatever the description calls them. */
function withLowerCaseNames(schema: object): object {
  const { properties = {} } = schema as { properties?: Record<string, unknown> };
  const entries = Object.entries(properties).map(([name, property]) => [name.toLowerCase(), property]);
  return { ...schema, properties: Object.fromEntries(entries) };
}

const bases: Record<string, string> = { querystring: "/query", params: "/params", headers: "/headers" };

function summary(errors: InputError[]): string {
  const first = errors[0];
  if (first === undefined) return "The input is not valid.";
  const more = errors.length - 1;
  const rest = more === 0 ? "" : ` And ${more} more ${more === 1 ? "fault" : "faults"}: see errors.`;
  return `${first.pointer === "" ? "The body" : first.pointer}: ${first.detail}${rest}`;
}

/** Each fault once, by the pointer of what is wrong, as a sentence that says what would be right. */
function explain(raw: ErrorObject[], base: string): InputError[] {
  const seen = new Set<string>();
  const errors: InputError[] = [];
  for (const error of withoutOtherBranches(raw)) {
    const { member, detail } = sentence(error);
    const pointer = `${base}${error.instancePath}${member === undefined ? "" : `/${escapePointer(member)}`}`;
    const key = `${pointer} ${detail}`;
    if (seen.has(key) || errors.length === 50) continue;
    seen.add(key);
    errors.push({ pointer, detail });
  }
  return errors;
}

/**
 * A union reports the faults of every branch. Those that matter are of the branch that was meant: the one whose
 * constants fit, and not the one that only allows null.
 */
function withoutOtherBranches(errors: ErrorObject[]): ErrorObject[] {
  const unions = errors.filter((error) => error.keyword === "anyOf");
  let kept = errors;
  for (const union of unions) {
    const prefix = `${union.schemaPath}/`;
    const branches = Array.isArray(union.schema) ? union.schema.length : 0;
    const inside = (error: ErrorObject) =>
      error.schemaPath.startsWith(prefix) && error.instancePath.startsWith(union.instancePath);
    const within = (error: ErrorObject) => error.schemaPath.slice(prefix.length);
    const branchOf = (error: ErrorObject) => Number(within(error).split("/")[0]);
    const excluded = new Set(
      errors.filter((error) => inside(error) && isOther(error, within(error))).map(branchOf),
    );
    // With no branch left nothing but the choice itself can be said.
    const undecided = excluded.size === branches;
    kept = kept.filter((error) => {
      if (error === union) return undecided;
      return !inside(error) || (!undecided && !excluded.has(branchOf(error)));
    });
  }
  return kept;
}

/** Whether a fault, at this place within its union, shows that its branch is not the one that was meant. */
function isOther(error: ErrorObject, place: string): boolean {
  if (error.keyword === "const") return /^\d+\/properties\/[^/]+\/const$/.test(place);
  return error.keyword === "type" && error.params.type === "null" && /^\d+\/type$/.test(place);
}

function sentence(error: ErrorObject): { member?: string; detail: string } {
  const params: Record<string, unknown> = error.params;
  const description = isDescribed(error.parentSchema) ? ` (${error.parentSchema.description})` : "";
  switch (error.keyword) {
    case "additionalProperties": {
      const member = String(params.additionalProperty);
      const known = Object.keys((error.parentSchema?.properties as object | undefined) ?? {});
      const list = known.length === 0 ? "none are" : `known are ${known.join(", ")}`;
      return { member, detail: `There is no member ${JSON.stringify(member)}; leave it out (${list}).` };
    }
    case "required":
      return { member: String(params.missingProperty), detail: "This member is required; add it." };
    case "enum":
      return {
        detail: `Must be one of ${(params.allowedValues as unknown[]).map((v) => JSON.stringify(v)).join(", ")}.`,
      };
    case "const":
      return { detail: `Must be ${JSON.stringify(params.allowedValue)}.` };
    case "type":
      return { detail: `Must be ${article(String(params.type))}, but is ${kindOf(error.data)}.` };
    case "pattern":
      return { detail: `Must match ${String(params.pattern)}${description}.` };
    case "format":
      return { detail: `Must have the form ${String(params.format)}${description}.` };
    case "minimum":
    case "maximum":
      return {
        detail: `Must be ${params.comparison === ">=" ? "at least" : "at most"} ${String(params.limit)}.`,
      };
    case "minLength":
      return { detail: `Must have at least ${plural(params.limit, "character")}.` };
    case "maxLength":
      return { detail: `Must have at most ${plural(params.limit, "character")}.` };
    case "minItems":
      return { detail: `Must have at least ${plural(params.limit, "item")}.` };
    case "maxItems":
      return { detail: `Must have at most ${plural(params.limit, "item")}.` };
    case "minProperties":
      return { detail: `Must have at least ${plural(params.limit, "member")}.` };
    case "uniqueItems":
      return { detail: `Items ${String(params.j)} and ${String(params.i)} are the same; give each once.` };
    case "not":
      return {
        detail: `Give only one of ${(error.schema as { required: string[] }).required.join(" and ")}.`,
      };
    case "anyOf":
      return { detail: choices(error) };
    default:
      return { detail: `${(error.message ?? "is not valid").replace(/^must/, "Must")}.` };
  }
}

function choices(error: ErrorObject): string {
  const branches: unknown[] = Array.isArray(error.schema) ? error.schema : [];
  const constants = branches.flatMap((branch) => {
    const properties = (branch as { properties?: Record<string, { const?: unknown }> }).properties ?? {};
    return Object.entries(properties)
      .filter(([, schema]) => schema.const !== undefined)
      .map(([name, schema]) => `${name} ${JSON.stringify(schema.const)}`);
  });
  return constants.length === 0
    ? "Fits none of the allowed forms."
    : `Must be an object with ${constants.join(" or ")}.`;
}

function isDescribed(schema: unknown): schema is { description: string } {
  return (
    typeof schema === "object" &&
    schema !== null &&
    "description" in schema &&
    typeof schema.description === "string"
  );
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return value === undefined ? "missing" : article(typeof value);
}

function article(type: string): string {
  const types = type.split(",");
  if (type === "null") return "null";
  return types
    .map((one) => (one === "null" ? one : `${/^[aeiou]/.test(one) ? "an" : "a"} ${one}`))
    .join(" or ");
}

function plural(count: unknown, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Records as the serializer must see them. TypeBox writes one as members whose name matches ^.*$, which no name with a
 * line break does: such members would be left out of answers without a word.
 */
export function openRecords(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(openRecords);
  if (typeof schema !== "object" || schema === null) return schema;
  const { patternProperties, ...rest } = schema as { patternProperties?: Record<string, unknown> };
  const walked = Object.fromEntries(Object.entries(rest).map(([key, member]) => [key, openRecords(member)]));
  return patternProperties === undefined ? walked : { ...walked, additionalProperties: true };
}
