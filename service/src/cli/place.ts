import { readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Project } from "../core/index.ts";
import { type Client, createClient, pathOf } from "./client.ts";
import type { Host } from "./host.ts";
import { CliError, problem } from "./problem.ts";
import { getProfile, type Profile, readProfiles } from "./profiles.ts";
import { createHttpTransport, readServer } from "./transport.ts";

/** What a command line says of where it works. */
export interface PlaceOptions {
  server?: string;
  profile?: string;
  file?: string;
  project?: string;
  tag?: string;
}

/** What the place itself brings, where the command line says nothing. */
export interface Defaults {
  project?: string;
  tag?: string;
}

export interface Connection {
  client: Client;
  defaults: Defaults;
  /** The profile that it came from. */
  profile: string | null;
}

const defaultTag = "master";
const inFolder = join(".taskmaster", "tasks", "tasks.json");

/** Opens the place that options, environment, profiles and folders name, in this order. */
export async function connect(host: Host, options: PlaceOptions): Promise<Connection> {
  const named = [options.server, options.profile, options.file].filter((one) => one !== undefined);
  if (named.length > 1) throw problem("usage", "Give one of --server, --profile and --file.");
  if (options.file !== undefined)
    return await openFile(host, await folderAt(resolve(host.cwd, options.file)));

  const found = await locateServer(host, options);
  if (found !== undefined) return openServer(found);

  const folder = await findFolder(host.cwd);
  if (folder !== undefined) return await openFile(host, folder);
  throw problem(
    "usage",
    `Nothing says where to work: there is no ${inFolder} here or above. ` +
      'Run "task-master-pro login URL" once, or set TASKMASTER_SERVER and TASKMASTER_TOKEN, or give --file.',
  );
}

/** A server and the token for it, for what no folder can do: the one that is given, a profile's, or the environment's. */
export async function findServer(
  host: Host,
  options: Pick<PlaceOptions, "server" | "profile">,
): Promise<{ server: string; token: string }> {
  if (options.server !== undefined && options.profile !== undefined)
    throw problem("usage", "Give the server's address or --profile, not both.");
  const found = await locateServer(host, options);
  if (found !== undefined) return found;
  throw problem(
    "usage",
    "Say which server: its address, --profile, or TASKMASTER_SERVER with TASKMASTER_TOKEN.",
  );
}

interface Located extends Profile {
  /** The profile's; null where the token is the environment's. */
  name: string | null;
}

/** What options, environment and profiles name, in this order; undefined where they name nothing. */
async function locateServer(
  { config }: Host,
  { server, profile }: Pick<PlaceOptions, "server" | "profile">,
): Promise<Located | undefined> {
  const named = server ?? (profile === undefined ? config.server : null);
  if (named !== null) {
    const address = readServer(named);
    if (config.token !== null) return { name: null, server: address, token: config.token };
    // A token is only ever sent to the server that it was given for.
    const { profiles } = await readProfiles(config.directory);
    const known = Object.entries(profiles).find(([, one]) => one.server === address);
    if (known !== undefined) return { name: known[0], ...known[1] };
    throw problem(
      "unauthenticated",
      `There is no token for ${address}: set TASKMASTER_TOKEN, or log in there.`,
    );
  }
  const profiles = await readProfiles(config.directory);
  const chosen = profile ?? profiles.current;
  return chosen === null ? undefined : { name: chosen, ...getProfile(profiles, chosen) };
}

function openServer({ name, server, token, project, tag }: Located): Connection {
  return {
    client: createClient(createHttpTransport(server, token)),
    defaults: { ...(project === undefined ? {} : { project }), ...(tag === undefined ? {} : { tag }) },
    profile: name,
  };
}

async function openFile(host: Host, folder: string): Promise<Connection> {
  const tag = await currentTag(folder);
  return {
    client: createClient(await host.openFile(folder)),
    defaults: tag === undefined ? {} : { tag },
    profile: null,
  };
}

const isFile = async (path: string) => (await stat(path).catch(() => undefined))?.isFile() === true;

/** The project's folder of a path to it or to its tasks.json. */
async function folderAt(path: string): Promise<string> {
  if (await isFile(join(path, inFolder))) return path;
  const folder = resolve(path, "..", "..", "..");
  if (path === join(folder, inFolder) && (await isFile(path))) return folder;
  throw (await isFile(path))
    ? problem("usage", `${path} is no project's ${inFolder}; import it into one instead.`)
    : problem("not_found", `There is no ${inFolder} in ${path}.`);
}

/** The nearest project's folder, from here upwards. */
async function findFolder(from: string): Promise<string | undefined> {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    if (await isFile(join(folder, inFolder))) return folder;
    if (folder === dirname(folder)) return undefined;
  }
}

/** The nearest project's tasks.json. */
export async function findFile(from: string): Promise<string | undefined> {
  const folder = await findFolder(from);
  return folder === undefined ? undefined : join(folder, inFolder);
}

/** The tag that the task-master-ai tool works in, by its state.json beside the tasks. */
async function currentTag(folder: string): Promise<string | undefined> {
  try {
    const state: unknown = JSON.parse(await readFile(join(folder, ".taskmaster", "state.json"), "utf8"));
    if (typeof state !== "object" || state === null || !("currentTag" in state)) return undefined;
    return typeof state.currentTag === "string" && state.currentTag !== "" ? state.currentTag : undefined;
  } catch {
    return undefined;
  }
}

/** The project to work in: the one that is named, the profile's, or the only one. */
export async function findProject({ client, defaults }: Connection, options: PlaceOptions): Promise<string> {
  const named = options.project ?? defaults.project;
  if (named !== undefined) return named;
  const { items } = await client.list<Project>("/projects", { fields: "key" }, 10);
  const [first, second] = items;
  if (first === undefined) {
    throw problem("not_found", `There is no project yet; make one with "projects add KEY".`);
  }
  if (second === undefined) return first.key;
  const keys = items.map(({ key }) => key).join(", ");
  throw problem(
    "usage",
    `There are several projects (${keys}); choose one with --project, or once with "use".`,
  );
}

export const findTag = ({ defaults }: Connection, options: PlaceOptions): string =>
  options.tag ?? defaults.tag ?? defaultTag;

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Whether it names a task wherever one is: a UUID, or KEY:tag:2.1. */
/** The task as the API names it, where the id is local to the place's tag. */
export const referenceIn = ({ project, tag }: { project: string; tag: string }, id: string): string =>
  isFullReference(id) ? id : `${project}:${tag}:${id}`;

export const isFullReference = (id: string): boolean => uuid.test(id) || id.includes(":");

/** Adds the way out to a refusal that names what is not there. */
export function withWayOut(error: unknown, what: RegExp, way: string): unknown {
  if (!(error instanceof CliError) || error.body.code !== "not_found") return error;
  if (!what.test(error.body.detail)) return error;
  return new CliError({ ...error.body, detail: `${error.body.detail} ${way}` }, error);
}

export const tagPath = (project: string, tag: string, ...more: string[]): string =>
  pathOf("projects", project, "tags", tag, ...more);
