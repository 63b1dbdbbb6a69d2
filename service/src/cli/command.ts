import { type Command, InvalidArgumentError, Option } from "commander";
import { pathOf } from "./client.ts";
import type { Host } from "./host.ts";
import { createOutput, type Output } from "./output.ts";
import {
  type Connection,
  connect,
  findProject,
  findTag,
  isFullReference,
  type PlaceOptions,
  referenceIn,
  withWayOut,
} from "./place.ts";
import { exitCodes } from "./problem.ts";

export interface CommonOptions extends PlaceOptions {
  json?: boolean;
  format?: string;
  fields?: string;
  color?: boolean;
}

/** One run of a command. */
export interface Call extends Connection {
  host: Host;
  out: Output;
  options: CommonOptions;
  /** The project and tag to work in; the project may have to be asked for. */
  place(): Promise<{ project: string; tag: string }>;
  /** The line that names the place, for a reader. */
  sayPlace(place: { project: string; tag?: string }): void;
  /** A task's reference as the API takes it, from a local id such as 2.1, KEY:tag:2.1 or a UUID. */
  reference(id: string): Promise<string>;
  /** The address of a task. */
  task(id: string, ...more: string[]): Promise<string>;
}

type Handler<O, A extends unknown[]> = (
  call: Call,
  options: O & CommonOptions,
  ...operands: A
) => Promise<number | undefined>;

const where = "Where it works:";

/** Gives a command the options that say where it works and how it answers. */
export function placed(command: Command, ...scopes: ("project" | "tag")[]): Command {
  command
    .addOption(new Option("--json", "answer as JSON, as the REST API does").helpGroup("How it answers:"))
    .addOption(
      new Option("--no-color", "without colours; NO_COLOR says the same").helpGroup("How it answers:"),
    )
    .addOption(new Option("-f, --format <format>").choices(["text", "json"]).hideHelp())
    .addOption(
      new Option("--server <url>", "a server, with TASKMASTER_TOKEN or a profile's").helpGroup(where),
    )
    .addOption(new Option("--profile <name>", `a server that you are logged in to`).helpGroup(where))
    .addOption(
      new Option("--file <path>", "a folder with .taskmaster/tasks/tasks.json, without a server").helpGroup(
        where,
      ),
    );
  if (scopes.includes("project")) {
    command.addOption(new Option("--project <key>", "the project; the only one by default").helpGroup(where));
  }
  if (scopes.includes("tag")) {
    command.addOption(
      new Option("-t, --tag <name>", "the tag; the profile's or master by default").helpGroup(where),
    );
  }
  return command;
}

/** `--fields`, for what the API can cut down. */
export function selectable(command: Command): Command {
  return command.addOption(
    new Option("--fields <names>", "only these members, separated by commas").helpGroup("How it answers:"),
  );
}

/** Examples below a command's help; what stands behind two spaces explains. */
export function examples(command: Command, ...lines: string[]): Command {
  const text = lines.map((line) => `  $ task-master-pro ${line}`).join("\n");
  return command.addHelpText("after", `\nExamples:\n${text}`);
}

/** Wraps what a command does: opens its place, closes it again, and keeps its exit code. */
export function action<O extends object, A extends unknown[]>(
  host: Host,
  handler: Handler<O, A>,
): (...parameters: unknown[]) => Promise<void> {
  return async (...parameters) => {
    const command = parameters.at(-1) as Command;
    const operands = parameters.slice(0, -2) as A;
    const options = command.optsWithGlobals<O & CommonOptions>();
    const connection = await connect(host, options);
    try {
      const call = createCall(host, connection, options);
      host.exitCode = (await handler(call, options, ...operands)) ?? exitCodes.ok;
    } catch (error) {
      throw withWayOut(
        withWayOut(error, /^There is no tag /, 'See "tags" for those that exist.'),
        /^There is no project /,
        'See "projects" for those that exist.',
      );
    } finally {
      await connection.client.close();
    }
  };
}

export function openOutput(host: Host, options: CommonOptions): Output {
  const { stdout } = host;
  const terminal = stdout.isTTY === true;
  return createOutput(stdout, {
    json: options.json === true || options.format === "json",
    color: options.color !== false && terminal && (stdout.hasColors?.() ?? false),
    width: terminal ? (stdout.columns ?? 80) : Number.POSITIVE_INFINITY,
  });
}

function createCall(host: Host, connection: Connection, options: CommonOptions): Call {
  const out = openOutput(host, options);
  let project: Promise<string> | undefined;
  const place = async () => {
    project ??= findProject(connection, options);
    return { project: await project, tag: findTag(connection, options) };
  };
  // A full one says its project itself, and none has to be found.
  const reference = async (id: string) => (isFullReference(id) ? id : referenceIn(await place(), id));
  return {
    ...connection,
    host,
    out,
    options,
    place,
    sayPlace({ project: key, tag }) {
      const parts = [key, ...(tag === undefined ? [] : [tag]), connection.client.name];
      out.say(out.style("dim", out.oneLine(parts.join(" · "))));
    },
    reference,
    task: async (id, ...more) => pathOf("tasks", await reference(id), ...more),
  };
}

/** Ids as people write them: separated by commas or spaces. */
export function splitIds(...given: (string | undefined)[]): string[] {
  return given.flatMap((text) => text?.split(/[,\s]+/) ?? []).filter((id) => id !== "");
}

export function splitList(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError("It must be a whole number from 1.");
  }
  return value;
}

export function hours(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError("It must be a number of hours, such as 2.5.");
  }
  return value;
}

const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** 90, 90s, 15m, 8h or 1d, in seconds. */
export function duration(text: string): number {
  const [, digits = "", unit = "s"] = /^(\d{1,6})([smhd])?$/.exec(text.trim()) ?? [];
  const seconds = Number(digits) * (units[unit] ?? 1);
  if (digits === "" || seconds < 1) {
    throw new InvalidArgumentError("It must be a time such as 90s, 15m or 8h.");
  }
  return seconds;
}
