import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments, stringify } from "yaml";

export const chart = fileURLToPath(new URL("../../../charts/task-master-pro", import.meta.url));

// biome-ignore lint/suspicious/noExplicitAny: an object of Kubernetes, whose every member a test may ask for
export type Manifest = any;
export type Values = Record<string, unknown>;

/** Runs helm with the values as a file. */
function helm(values: Values, args: string[]): { code: number | null; stdout: string; stderr: string } {
  const folder = mkdtempSync(path.join(tmpdir(), "chart-"));
  try {
    const file = path.join(folder, "values.yaml");
    writeFileSync(file, stringify(values));
    const { status, stdout, stderr, error } = spawnSync(
      "helm",
      ["template", "tm", chart, "-f", file, ...args],
      { encoding: "utf8", maxBuffer: 1e8 },
    );
    if (error !== undefined) throw error;
    return { code: status, stdout, stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The objects that the chart makes of the values. */
export function render(values: Values, ...args: string[]): Manifest[] {
  const { code, stdout, stderr } = helm(values, args);
  if (code !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Manifest)
    .filter((manifest) => manifest !== null);
}

/** Why the chart refuses the values; it must. */
export function refuse(values: Values, ...args: string[]): string {
  const { code, stderr } = helm(values, args);
  if (code === 0) throw new Error("the chart took these values");
  return stderr;
}

/** The one object of that kind and name. */
export function find(manifests: Manifest[], kind: string, name: string): Manifest {
  const found = manifests.filter((one) => one.kind === kind && one.metadata.name === name);
  if (found.length !== 1) {
    const all = manifests.map((one) => `${one.kind} ${one.metadata.name}`).join(", ");
    throw new Error(`${found.length} times ${kind} ${name} in: ${all}`);
  }
  return found[0];
}

export const external = { database: { mode: "external", external: { existingSecret: "db" } } };
export const bundled = { database: { mode: "bundled" } };
export const cloudnativePg = { database: { mode: "cloudnative-pg" } };
