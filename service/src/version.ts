import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The package's version. Its root is further up from the sources than from what is built of them. */
export function readVersion(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
  return version;
}
