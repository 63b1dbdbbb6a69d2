import { randomUUID } from "node:crypto";
import { open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { buffer } from "node:stream/consumers";
import { problem } from "./problem.ts";

/** A file that the reader named, exactly as it is. Throws a problem that says what is wrong with it. */
export async function readText(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw explain(error, path, `file ${path}`);
  });
  return decode(bytes, path);
}

/** What is piped in. */
export async function readInput(stdin: NodeJS.ReadableStream): Promise<string> {
  return decode(await buffer(stdin), "Standard input");
}

/** Nothing is repaired on the way: what is no text is refused, and a mark at the beginning stays. */
function decode(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw problem("invalid_input", `${what} is no UTF-8 text.`, error);
  }
}

/** Whoever reads the file meanwhile, or after a crash, finds the old one or the new one. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await replaceFile(path, text).catch((error: unknown) => {
    throw explain(error, path, `folder ${dirname(path)}`);
  });
  const folder = await open(dirname(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The same but for a crash right behind it, and with the system's own errors. */
export async function replaceFile(path: string, text: string, mode = 0o666): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, text, { flag: "wx", mode, flush: true });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

function explain(error: unknown, path: string, missing: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") return problem("not_found", `There is no ${missing}.`, error);
  if (code === "EISDIR") return problem("usage", `${path} is a folder; name a file in it.`, error);
  if (code === "EACCES" || code === "EPERM") return problem("usage", `This user may not use ${path}.`, error);
  return error;
}
