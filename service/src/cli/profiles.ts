import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { replaceFile } from "./files.ts";
import { problem } from "./problem.ts";

/** A server to work on, with a token for it. */
export interface Profile {
  server: string;
  token: string;
  /** What `--project` and `--tag` are without them. */
  project?: string;
  tag?: string;
}

export interface Profiles {
  /** The profile in use; null when there is none. */
  current: string | null;
  profiles: Record<string, Profile>;
}

const fileOf = (directory: string) => join(directory, "profiles.json");

export async function readProfiles(directory: string): Promise<Profiles> {
  const file = fileOf(directory);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return { current: null, profiles: {} };
    }
    throw error;
  }
  const value = parse(text);
  if (value === undefined) {
    throw problem("usage", `${file} does not hold profiles; remove it, and log in again.`);
  }
  return value;
}

function parse(text: string): Profiles | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("profiles" in value)) return undefined;
    const { current = null, profiles } = value as Profiles;
    const sound = Object.values(profiles).every(
      ({ server, token }) => typeof server === "string" && typeof token === "string",
    );
    return sound ? { current, profiles } : undefined;
  } catch {
    return undefined;
  }
}

/** Readable by its owner only, and whole at any moment: it holds tokens. */
export async function writeProfiles(directory: string, profiles: Profiles): Promise<void> {
  const file = fileOf(directory);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await replaceFile(file, `${JSON.stringify(profiles, null, 2)}\n`, 0o600);
}

export function getProfile({ profiles }: Profiles, name: string): Profile {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile !== undefined) return profile;
  const names = Object.keys(profiles);
  const known = names.length === 0 ? "there is none yet" : `there are ${names.join(", ")}`;
  throw problem("usage", `There is no profile ${JSON.stringify(name)}: ${known}; "login" makes one.`);
}
