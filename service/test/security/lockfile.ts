import { readFile } from "node:fs/promises";

/** What lockfile-lint does not ask of a lockfile that names no addresses: that every package is known by its hash. */
const lock = JSON.parse(await readFile(new URL("../../../package-lock.json", import.meta.url), "utf8")) as {
  packages: Record<string, { integrity?: string; resolved?: string; link?: boolean }>;
};
const installed = Object.entries(lock.packages).filter(([path, { link }]) => path !== "" && link !== true);
const faults = installed.flatMap(([path, { integrity = "", resolved }]) => [
  ...(integrity.startsWith("sha512-") ? [] : [`${path} has no SHA-512`]),
  // Without one npm takes the package from the registry that is set, and nowhere else.
  ...(resolved === undefined ? [] : [`${path} names an address of its own, ${resolved}`]),
]);
for (const fault of faults) process.stderr.write(`package-lock.json: ${fault}\n`);
process.stdout.write(`${installed.length} packages, each by its hash\n`);
if (faults.length > 0) process.exitCode = 1;
