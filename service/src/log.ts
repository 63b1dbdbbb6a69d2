import { type DestinationStream, type Logger, type LoggerOptions, pino } from "pino";
import type { Config } from "./config.ts";

export type { Logger };

const secretName =
  /^(?:authorization|proxy-authorization|cookie|set-cookie|.*token|.*secret|.*password|private_?key|api_?key)$/i;
// Each with what none of it is without, which is looked for first: most texts hold none. No word boundary in front: in an encoded
// address a token follows on the digits of %22 or %20.
const secretText: { mark: string; pattern: RegExp }[] = [
  { mark: "tmp_", pattern: /tmp_[A-Za-z0-9_-]{8,}/g },
  { mark: "whsec_", pattern: /whsec_[A-Za-z0-9+/=]{8,}/g },
  { mark: "eyJ", pattern: /eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g },
  // The password inside a URL: database drivers put the whole URL into their messages.
  { mark: "@", pattern: /(?<=[a-z]:\/\/[^\s/:@]*:)[^\s/@]+(?=@)/gi },
];
const hidden = "[hidden]";

/**
 * One JSON object a line. Secrets are hidden by their name at any depth, and inside any text by their look and, where they are
 * the configuration's, wherever they turn up.
 */
export function createLog(
  config: Pick<Config, "logLevel"> & Partial<Pick<Config, "secrets">>,
  destination?: DestinationStream,
  /** What each line says beside its own, such as the trace that it belongs to; undefined where there is nothing. */
  context?: () => Record<string, string> | undefined,
): Logger {
  const { scrubText, scrubEntry } = createScrubber(config.secrets ?? []);
  const options: LoggerOptions = {
    level: config.logLevel,
    // Process id and host name are the platform's business; it adds them where they mean something.
    base: null,
    ...(context === undefined
      ? {}
      : {
          mixin: () => context() ?? nothing,
          // pino copies every line's entry for it, also where nothing comes in.
          mixinMergeStrategy: (entry, more) => (more === nothing ? entry : { ...more, ...entry }),
        }),
    timestamp: createClock(),
    // Errors are made safe below, before pino's own serializer could see them.
    serializers: { err: (error: unknown) => error },
    formatters: {
      level: (label) => ({ level: label }),
      log: scrubEntry,
    },
    // The message is no part of the entry that formatters.log sees.
    hooks: {
      logMethod(args, method) {
        method.apply(
          this,
          args.map((arg) => (typeof arg === "string" ? scrubText(arg) : arg)) as typeof args,
        );
      },
    },
  };
  const log = pino(options, destination ?? openOutput());
  // pino does not run its formatters over what a child logger carries, such as a request id that a client chose.
  const { child } = log;
  log.child = function (this: Logger, bindings, ...rest) {
    return child.call(this, scrubEntry(bindings), ...rest);
  } as Logger["child"];
  return log;
}

const nothing = {};

/** pino's ISO time. To write a date out is dear, and but for the milliseconds it is the same for a second. */
function createClock(): () => string {
  let second = Number.NaN;
  let upToSecond = "";
  return () => {
    const now = Date.now();
    const milliseconds = now % 1000;
    if (now - milliseconds !== second) {
      second = now - milliseconds;
      upToSecond = new Date(second).toISOString().slice(0, -"000Z".length);
    }
    return `,"time":"${upToSecond}${String(milliseconds).padStart(3, "0")}Z"`;
  };
}

/** For how long a line waits for others to be written with. */
const gatherMs = 10;

/** One a process, whatever number of logs. */
let standardOutput: Output | undefined;

type Output = DestinationStream & { flush(done: () => void): void };

function openOutput(): Output {
  standardOutput ??= createOutput();
  return standardOutput;
}

/**
 * Standard output. The lines of a few milliseconds go in one write: one each is the dearest part of a line. What waits is written
 * when the process ends by itself or by an error; a SIGKILL loses it. Writes are synchronous: one that another thread is at when the
 * process ends would come behind the last lines, or not at all.
 */
function createOutput(): Output {
  const output = pino.destination({ dest: process.stdout.fd, sync: true, minLength: 8192 });
  process.once("exit", () => {
    try {
      output.flushSync();
    } catch {
      // Nobody reads any more.
    }
  });
  let waiting = false;
  return {
    write(line) {
      output.write(line);
      if (waiting) return;
      waiting = true;
      setTimeout(() => {
        waiting = false;
        output.flush();
      }, gatherMs).unref();
    },
    flush(done) {
      output.flushSync();
      done();
    },
  };
}

/** Names are few, and few are secret; should they ever not be few, forgetting costs a look. */
const judged = new Map<string, boolean>();

function isSecretName(name: string): boolean {
  const known = judged.get(name);
  if (known !== undefined) return known;
  const isSecret = secretName.test(name);
  if (judged.size >= 1_000) judged.clear();
  judged.set(name, isSecret);
  return isSecret;
}

function createScrubber(secrets: readonly string[]) {
  const forms = [...new Set(secrets.flatMap(formsOf))].sort((a, b) => b.length - a.length);
  // One pass over each text, however many there are.
  const known = forms.map((form) => form.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  const pattern = known === "" ? undefined : new RegExp(known, "g");

  function scrubText(text: string): string {
    let clean = pattern === undefined ? text : text.replace(pattern, hidden);
    for (const { mark, pattern } of secretText) {
      if (clean.includes(mark)) clean = clean.replace(pattern, hidden);
    }
    return clean;
  }

  function scrubEntry(entry: object, depth = 0): Record<string, unknown> {
    const clean: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(entry)) {
      clean[name] = isSecretName(name) ? hidden : scrub(value, depth);
    }
    return clean;
  }

  function scrub(value: unknown, depth: number): unknown {
    if (typeof value === "string") return scrubText(value);
    if (typeof value !== "object" || value === null) return value;
    if (depth > 8) return "[deeper]";
    if (value instanceof Error) return scrubError(value, depth);
    if (value instanceof Date) return value;
    if (Array.isArray(value)) return value.map((item) => scrub(item, depth + 1));
    return scrubEntry(value, depth + 1);
  }

  /** Name, message, stack and cause only: libraries hang whole requests, with their headers, on their errors. */
  function scrubError(error: Error, depth: number): Record<string, unknown> {
    const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
    return {
      type: error.name,
      message: scrubText(error.message),
      ...code,
      stack: scrubText(error.stack ?? ""),
      ...(error.cause === undefined ? {} : { cause: scrub(error.cause, depth + 1) }),
    };
  }

  return { scrubText, scrubEntry };
}

/** As it is, in an address, and in base64, whose letters go by where in three bytes it begins. */
function formsOf(secret: string): string[] {
  const base64 = [0, 1, 2].map((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    // The letters at both ends are made of its neighbours as well.
    const letters = bytes.toString("base64").replace(/=+$/, "");
    return letters.slice(before === 0 ? 0 : before + 1, bytes.length % 3 === 0 ? undefined : -1);
  });
  const url = base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_"));
  return [secret, encodeURIComponent(secret), ...base64, ...url];
}
