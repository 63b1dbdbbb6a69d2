/**
 * Runs the peer, the npm tool `task-master-ai`, as a black box: install it at one exact version, lay out a project,
 * call its command line and read what it prints. Its licence forbids copying its code, so nothing here opens its source;
 * only its package.json is read, for the version and the name of its executable.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const PEER_PACKAGE = "task-master-ai";
/** Exact on purpose: the recording is the behaviour of this version and of no other. */
export const PEER_VERSION = "0.43.1";

/** An installed peer: the folder that holds its node_modules, and the absolute paths of its executable scripts. */
export interface Peer {
  readonly dir: string;
  /** The command line. */
  readonly entry: string;
  /** The MCP server on standard input and output. */
  readonly server: string;
}

/** What one call of the peer's command line left behind; `code` is null when it was killed. */
export interface PeerRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A throwaway project on disk. `close` removes it. */
export interface PeerProject {
  readonly dir: string;
  writeTasks(content: string | Uint8Array): Promise<void>;
  readTasks(): Promise<string>;
  close(): Promise<void>;
}

/** What `next -f json` answered: the id (null when nothing is ready), or the first line of its complaint. */
export type NextAnswer = { readonly next: string | null } | { readonly error: string };

/** Longest time one call may take, in milliseconds; start-up alone is two to three seconds of work. */
const CALL_TIMEOUT_MS = 120_000;

/** Where the peer is installed when the caller names no folder. */
export const defaultPeerDir = (): string => join(tmpdir(), `${PEER_PACKAGE}-${PEER_VERSION}`);

/**
 * Gives the peer in `dir`, and installs it there first when it is missing. An installation of another version is an
 * error, never upgraded or used: a recording made from it would be wrong without anybody noticing.
 */
export async function openPeer(dir: string | undefined, say: (line: string) => void): Promise<Peer> {
  const home = resolve(dir ?? defaultPeerDir());
  const found = await findPeer(home);
  if (found !== undefined) {
    return found;
  }
  say(`installing ${PEER_PACKAGE}@${PEER_VERSION} into ${home}`);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, "package.json"), `${JSON.stringify({ private: true })}\n`);
  // The command line needs neither install scripts, which would run foreign code, nor the optional half of the 1.4 GB.
  const npm = ["install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--save-exact"];
  const run = await start("npm", [...npm, `${PEER_PACKAGE}@${PEER_VERSION}`], home, process.env, 15 * 60_000);
  const peer = run.code === 0 ? await findPeer(home) : undefined;
  if (peer === undefined) {
    throw new Error(
      `npm install in ${home} failed (exit ${String(run.code)}): ${run.stderr.trim().slice(-2000)}`,
    );
  }
  return peer;
}

async function findPeer(dir: string): Promise<Peer | undefined> {
  const root = join(dir, "node_modules", PEER_PACKAGE);
  let text: string;
  try {
    text = await readFile(join(root, "package.json"), "utf8");
  } catch {
    return undefined;
  }
  const manifest = JSON.parse(text) as { version?: string; bin?: Record<string, string> };
  if (manifest.version !== PEER_VERSION) {
    throw new Error(
      `${root} holds version ${String(manifest.version)}, not ${PEER_VERSION}; name another folder`,
    );
  }
  const [script, server] = [manifest.bin?.["task-master"], manifest.bin?.["task-master-mcp"]];
  if (script === undefined || server === undefined) {
    throw new Error(`${root} has no executables named task-master and task-master-mcp`);
  }
  return { dir, entry: join(root, script), server: join(root, server) };
}

/** Makes an empty project in a temporary folder, set up so that the peer asks nothing and prints no notices. */
export async function createProject(currentTag = "master"): Promise<PeerProject> {
  const dir = await mkdtemp(join(tmpdir(), "peer-project-"));
  const tasks = join(dir, ".taskmaster", "tasks", "tasks.json");
  await mkdir(join(dir, ".taskmaster", "tasks"), { recursive: true });
  await mkdir(join(dir, "home"));
  await mkdir(join(dir, "tmp"));
  const state = { currentTag, migrationNoticeShown: true };
  await writeFile(join(dir, ".taskmaster", "state.json"), JSON.stringify(state));
  return {
    dir,
    writeTasks: (content) => writeFile(tasks, content),
    readTasks: () => readFile(tasks, "utf8"),
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

/**
 * Runs `task-master ARGS` in the project with stdin closed, and resolves whatever the exit code is. The environment is
 * built anew, so no key, token or setting of the caller's reaches the peer; its home and temporary folders lie in the
 * project. With CI or the update switch set it makes no network connection (its system calls were traced); without,
 * it asks the npm registry for a newer version.
 */
export function runPeer(peer: Peer, project: PeerProject, args: readonly string[]): Promise<PeerRun> {
  return start(
    process.execPath,
    [peer.entry, ...args],
    project.dir,
    peerEnvironment(peer, project),
    CALL_TIMEOUT_MS,
  );
}

/** What `runPeer` says of the environment. */
export function peerEnvironment(peer: Peer, project: PeerProject): Record<string, string> {
  return {
    PATH: process.env.PATH ?? "",
    HOME: join(project.dir, "home"),
    USERPROFILE: join(project.dir, "home"),
    TMPDIR: join(project.dir, "tmp"),
    TEMP: join(project.dir, "tmp"),
    TMP: join(project.dir, "tmp"),
    LANG: "C.UTF-8",
    TZ: "UTC",
    NO_COLOR: "1",
    CI: "1",
    TASKMASTER_SKIP_AUTO_UPDATE: "1",
    // Starting is nearly the whole of a call; Node's cache of compiled code takes a sixth off it.
    NODE_COMPILE_CACHE: join(peer.dir, "compile-cache"),
  };
}

function start(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
  timeout: number,
): Promise<PeerRun> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.on("error", fail);
    child.on("close", (code) => {
      done({
        code,
        stdout: Buffer.concat(out).toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8"),
      });
    });
  });
}

/** Asks the peer for the next task of a tag. An exit code other than 0 or an unreadable answer is an `error`. */
export async function askNext(peer: Peer, project: PeerProject, tag: string): Promise<NextAnswer> {
  const run = await runPeer(peer, project, ["next", "--tag", tag, "-f", "json"]);
  const answer = run.code === 0 ? readJson(run.stdout) : undefined;
  if (!isObject(answer) || answer.tag !== tag || !("task" in answer)) {
    return { error: complaint(run) };
  }
  const task = answer.task;
  if (task === null) {
    return { next: null };
  }
  if (!isObject(task) || (typeof task.id !== "string" && typeof task.id !== "number")) {
    return { error: "the answer names a task without an id" };
  }
  return { next: String(task.id) };
}

/** Asks the peer for the tasks of a tag: how many tasks and subtasks it sees, or its complaint. */
export async function askList(
  peer: Peer,
  project: PeerProject,
  tag: string,
): Promise<TagSize | { readonly error: string }> {
  const run = await runPeer(peer, project, ["list", "--json", "--with-subtasks", "--tag", tag]);
  const answer = run.code === 0 ? readJson(run.stdout) : undefined;
  const size = isObject(answer) ? tagsOf({ [tag]: answer.tasks })[0] : undefined;
  return size ?? { error: complaint(run) };
}

/** The peer's own words for a failed call: its first line, or its exit code when it said nothing. */
export function complaint(run: PeerRun): string {
  const lines = `${run.stderr}\n${run.stdout}`.split("\n").map((line) => line.trim());
  return lines.find((line) => line !== "") ?? `exit code ${String(run.code)} and no message`;
}

/** A tag found in a tasks.json file and the size the file gives it. */
export interface TagSize {
  readonly tag: string;
  readonly tasks: number;
  readonly subtasks: number;
}

/**
 * The tags of a parsed tasks.json in any of its forms: `{"tag": {"tasks": []}}`, `{"tag": []}`, and, as the tag master,
 * `{"tasks": []}` and a bare list. Keys that hold no task list are no tags.
 */
export function tagsOf(file: unknown): TagSize[] {
  if (Array.isArray(file)) {
    return [sizeOf("master", file)];
  }
  if (!isObject(file)) {
    return [];
  }
  if (Array.isArray(file.tasks)) {
    return [sizeOf("master", file.tasks)];
  }
  return Object.entries(file).flatMap(([tag, value]) => {
    const tasks = isObject(value) ? value.tasks : value;
    return Array.isArray(tasks) ? [sizeOf(tag, tasks)] : [];
  });
}

/** True for a file in the tagged form, false for the flat one and for what is no tasks.json at all. */
export function hasTags(file: unknown): boolean {
  return isObject(file) && !Array.isArray(file.tasks);
}

function sizeOf(tag: string, tasks: readonly unknown[]): TagSize {
  const subtasks = tasks.map((task) =>
    isObject(task) && Array.isArray(task.subtasks) ? task.subtasks.length : 0,
  );
  return { tag, tasks: tasks.length, subtasks: subtasks.reduce((sum, count) => sum + count, 0) };
}

/** Parses JSON, or gives undefined: what the peer prints is not always JSON when something is wrong. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** True for a JSON object; false for null, lists and everything else. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Runs `work` over the items, `width` at a time, and keeps the order of the items in the results. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let cursor = 0;
  const lane = async (): Promise<void> => {
    while (cursor < items.length) {
      const index = cursor++;
      results[index] = await work(items[index] as Item, index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  return results;
}
