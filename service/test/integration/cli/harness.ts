import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { Ajv2020 } from "ajv/dist/2020.js";
import ajvFormats from "ajv-formats";
import { openLocal } from "../../../src/bin/local.ts";
import type { Host } from "../../../src/cli/host.ts";
import { buildProgram } from "../../../src/cli/program.ts";
import { report } from "../../../src/cli/report.ts";
import { loadClientConfig } from "../../../src/client-config.ts";
import { compose } from "../../../src/compose.ts";
import { loadConfig } from "../../../src/config.ts";
import { createLog } from "../../../src/log.ts";
import { buildApp } from "../../../src/rest/app.ts";
import { openTestApp, type TestApp } from "../rest/harness.ts";

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string | Buffer;
  /** A terminal of so many columns, with colours. */
  columns?: number;
  /** Called with what is on standard output so far. */
  onOutput?: (out: string) => void;
  /** Stands for a progress bar. */
  onProgress?: (done: number, total: number) => void;
  interrupt?: AbortSignal;
}

/** The command line in this process, with streams and an environment of its own. */
export async function run(args: string[], options: RunOptions = {}): Promise<Ran> {
  const { env = {}, cwd = tmpdir(), stdin = "", columns, onOutput = () => {} } = options;
  const said = { out: "", err: "" };
  const collect = (name: keyof typeof said) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        said[name] += chunk.toString();
        if (name === "out") onOutput(said.out);
        done();
      },
    });
  const terminal = columns === undefined ? {} : { isTTY: true, columns, hasColors: () => true };
  const host: Host = {
    exitCode: 0,
    config: loadClientConfig(env),
    environment: { PATH: process.env.PATH, ...env },
    cwd,
    stdin: Readable.from([stdin]),
    stdout: Object.assign(collect("out"), terminal),
    stderr: collect("err"),
    openFile: openLocal,
    openProgress: async () => {
      const { onProgress } = options;
      if (onProgress === undefined) return undefined;
      return { step: (_name, done, total) => onProgress(done, total), close() {} };
    },
    onInterrupt: () => ({ signal: options.interrupt ?? new AbortController().signal, dispose() {} }),
  };
  try {
    await buildProgram(host, "0.0.0").parseAsync(args, { from: "user" });
  } catch (error) {
    if (!report(host, error, args)) throw error;
  }
  return { code: host.exitCode, ...said };
}

/** A place to work in, whatever stands behind it, with a project DEMO of four tasks. */
export interface Place {
  run(args: string[], options?: RunOptions): Promise<Ran>;
  /** The answer of a command under --json, after checking that it succeeded. */
  json<T>(args: string[], options?: RunOptions): Promise<T>;
  /** What the output calls it. */
  name: string;
  /** A folder of the test's own. */
  folder: string;
  close(): Promise<void>;
}

/** 2 waits for 1, 3 has the subtasks 3.1 and 3.2, 3.2 waits for 3.1. */
export const seed = {
  master: {
    tasks: [
      task(1, "One", { priority: "high" }),
      task(2, "Two", { dependencies: [1] }),
      task(3, "Three", { subtasks: [task(1, "Three one"), task(2, "Three two", { dependencies: ["3.1"] })] }),
      task(4, "Four", { priority: "low" }),
    ],
    metadata: {},
  },
};

function task(id: number, title: string, more: object = {}) {
  return { id, title, description: "", status: "pending", priority: "medium", dependencies: [], ...more };
}

const seedText = `${JSON.stringify(seed, null, 2)}\n`;

export interface ServerPlace extends Place {
  app: TestApp;
  url: string;
  env: Record<string, string>;
}

export async function openServerPlace(...given: Parameters<typeof openTestApp>): Promise<ServerPlace> {
  const app = await openTestApp(...given);
  const url = await app.app.listen({ host: "127.0.0.1", port: 0 });
  const folder = await mkdtemp(join(tmpdir(), "task-master-pro-cli-"));
  const environment = { XDG_CONFIG_HOME: folder, TASKMASTER_SERVER: url, TASKMASTER_TOKEN: app.token };
  const place = placeOf(url, folder, environment);
  await place.json(["projects", "add", "DEMO", "--json"]);
  await place.json(["import", "-", "--json"], { stdin: seedText });
  return {
    ...place,
    app,
    url,
    env: environment,
    async close() {
      await app.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** A project's folder, without a server. */
export async function openFolderPlace(): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), "task-master-pro-cli-"));
  // The project's key comes from the folder's name.
  const folder = join(root, "demo");
  const tasks = join(folder, ".taskmaster", "tasks");
  await mkdir(tasks, { recursive: true });
  await writeFile(join(tasks, "tasks.json"), seedText);
  return {
    ...placeOf(join(tasks, "tasks.json"), folder, { XDG_CONFIG_HOME: root }),
    close: () => rm(root, { recursive: true }),
  };
}

/** The same commands work on both. */
export const modes: [string, () => Promise<Place>][] = [
  ["a server", () => openServerPlace()],
  ["a folder", openFolderPlace],
];

function placeOf(name: string, folder: string, environment: Record<string, string>): Omit<Place, "close"> {
  const runHere = (args: string[], { env = {}, ...options }: RunOptions = {}) =>
    run(args, { cwd: folder, ...options, env: { ...environment, ...env } });
  return {
    name,
    folder,
    run: runHere,
    async json<T>(args: string[], options?: RunOptions) {
      const { code, out, err } = await runHere(args.includes("--json") ? args : [...args, "--json"], options);
      if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}: ${err}${out}`);
      return JSON.parse(out) as T;
    },
  };
}

async function readDescription() {
  const folder = await mkdtemp(join(tmpdir(), "task-master-pro-description-"));
  const config = loadConfig({ DATABASE_URL: `file:${folder}`, LOG_LEVEL: "silent" });
  const log = createLog(config);
  const { core, sessionKey, close } = await compose(config, log);
  const lifecycle = { draining: false, obstacle: null };
  const app = await buildApp({ core, config, log, sessionKey, lifecycle, version: "0.0.0" });
  const { payload } = await app.inject({ url: "/openapi.json" });
  await app.close();
  await close();
  await rm(folder, { recursive: true });
  return JSON.parse(payload);
}

/** Says how a value differs from what the API's description promises of an operation's answer; undefined when not at all. */
export async function openDescription() {
  const description = await readDescription();
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  ajvFormats.default(ajv);
  ajv.addSchema(description, "api");
  return (operationId: string, value: unknown): string | undefined => {
    for (const [path, methods] of Object.entries(description.paths as Record<string, object>)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.operationId !== operationId) continue;
        const status = ["200", "201"].find((one) => one in operation.responses);
        const pointer = ["paths", path, method, "responses", status, "content", "application/json", "schema"]
          .map((part) => encodeURIComponent(String(part).replaceAll("~", "~0").replaceAll("/", "~1")))
          .join("/");
        const validate = ajv.compile({ $ref: `api#/${pointer}` });
        return validate(value) ? undefined : ajv.errorsText(validate.errors);
      }
    }
    throw new Error(`there is no operation ${operationId}`);
  };
}
