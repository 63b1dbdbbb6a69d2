import type { defaultStackParser, Exception } from "@sentry/node";

const deepest = 5;

/** What the engine and Node.js say of defects, as far as the words are always the same. */
const phrases = [
  "Cannot read properties of undefined",
  "Cannot read properties of null",
  "Cannot set properties of undefined",
  "Cannot set properties of null",
  "Cannot destructure property",
  "is not a function",
  "is not a constructor",
  "is not iterable",
  "is not defined",
  "before initialization",
  "Assignment to constant variable",
  "Maximum call stack size exceeded",
  "Invalid array length",
  "Invalid string length",
  "Invalid time value",
  "Converting circular structure to JSON",
  "Do not know how to serialize a BigInt",
  "Reduce of empty array with no initial value",
  "is not valid JSON",
  "fetch failed",
];
const elsewhere = "(the message is in the log)";

/**
 * What of an error's message may leave. A message may hold whatever the program was given: a parser quotes it, a database
 * repeats it. Nobody can tell from outside which words are a client's, so that none leave but those known above.
 */
export function wordMessage(message: string): string {
  return phrases.find((phrase) => message.includes(phrase)) ?? elsewhere;
}

/** A class or a code as programs name them; whatever else stands there stays here. */
export function wordName(name: unknown): string | undefined {
  return typeof name === "string" && /^[A-Za-z0-9_$]{1,64}$/.test(name) ? name : undefined;
}

/** The error and its causes, the last of them first as Sentry wants it: type, message as above, and the frames. */
export function wordExceptions(error: unknown, parse: typeof defaultStackParser): Exception[] {
  const found: Exception[] = [];
  let one = error;
  do {
    found.unshift(wordException(one, parse));
    one = one instanceof Error ? one.cause : undefined;
  } while (one instanceof Error && found.length < deepest);
  return found;
}

function wordException(error: unknown, parse: typeof defaultStackParser): Exception {
  if (!(error instanceof Error)) return { type: "NoError", value: `a thrown ${typeof error}` };
  const frames = parse(stackOf(error)).map(({ filename, function: name, lineno, colno, module, in_app }) => {
    // Behind "as" is the property that it was called by, which may be any text.
    const frame = { filename, function: name?.replace(/ \[as .*/s, ""), lineno, colno, module, in_app };
    return Object.fromEntries(Object.entries(frame).filter(([, value]) => value !== undefined));
  });
  return {
    type: wordName(error.name) ?? "Error",
    value: wordMessage(error.message),
    ...(frames.length > 0 ? { stacktrace: { frames } } : {}),
  };
}

/** Without the message that it begins with, of which a line may look like a frame; nothing where nobody knows its end. */
function stackOf({ message, stack = "" }: Error): string {
  const from = stack.indexOf(message);
  return from === -1 ? "" : stack.slice(from + message.length);
}
