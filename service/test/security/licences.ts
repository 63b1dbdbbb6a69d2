import { readFile } from "node:fs/promises";

/** Holds the licences of what the program runs on, as the SBOM has them, against those that are allowed. */
interface Component {
  group?: string;
  name: string;
  licenses?: { license?: { id?: string; name?: string }; expression?: string }[];
}
const [sbom = ""] = process.argv.slice(2);
const { components } = JSON.parse(await readFile(sbom, "utf8")) as { components: Component[] };
const { allowed, accepted } = JSON.parse(
  await readFile(new URL("../../../security/licences.json", import.meta.url), "utf8"),
) as { allowed: string[]; accepted: Record<string, string> };
const unused = new Set(Object.keys(accepted));
let faults = 0;
const fault = (text: string) => {
  process.stderr.write(`${text}\n`);
  faults += 1;
};
for (const { group, name, licenses = [] } of components) {
  const full = group === undefined || group === "" ? name : `${group}/${name}`;
  const licence = licenses.map((one) => one.license?.id ?? one.license?.name ?? one.expression).join(" and ");
  if (allowed.includes(licence)) continue;
  if (accepted[full] === undefined)
    fault(`${full} is under ${licence === "" ? "no licence that it names" : licence}, which is not allowed`);
  unused.delete(full);
}
for (const name of unused) fault(`${name} is accepted in security/licences.json, and is not there any more`);
if (components.length < 50) fault(`the SBOM has ${components.length} components only`);
process.stdout.write(`${components.length} packages, ${Object.keys(accepted).length} accepted by name\n`);
if (faults > 0) process.exitCode = 1;
