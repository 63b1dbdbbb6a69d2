import { readdir, readFile } from "node:fs/promises";
import { parse } from "yaml";

/** What actionlint leaves to taste: pinned actions, least rights, limits of time, and every script that a step calls is there. */
const directory = new URL("../../../.github/workflows/", import.meta.url);
const root = new URL("../../../", import.meta.url);
const makefile = await readFile(new URL("Makefile", root), "utf8");
const faults: string[] = [];

interface Job {
  uses?: string;
  permissions?: Record<string, string>;
  "timeout-minutes"?: number;
  steps?: { run?: string }[];
  strategy?: { matrix?: { command?: string[] } };
}

for (const name of (await readdir(directory)).filter((file) => file.endsWith(".yml"))) {
  const text = await readFile(new URL(name, directory), "utf8");
  const fault = (what: string) => faults.push(`.github/workflows/${name}: ${what}`);
  for (const [, action, ref, comment] of text.matchAll(/uses: ([^\s@]+)(?:@(\S+))?(?: +#(.*))?$/gm)) {
    if (action?.startsWith("./")) continue;
    if (!/^[0-9a-f]{40}$/.test(ref ?? "")) fault(`${action} is not pinned by a commit`);
    else if (!/^ v\d+\.\d+\.\d+$/.test(comment ?? ""))
      fault(`${action} does not say its version behind the commit`);
  }
  const workflow = parse(text) as { permissions?: Record<string, string>; jobs: Record<string, Job> };
  if (JSON.stringify(workflow.permissions) !== '{"contents":"read"}')
    fault("a job that asks for nothing may do more than read");
  for (const [id, job] of Object.entries(workflow.jobs)) {
    // Those of a workflow that is called have limits of their own.
    if (job.uses === undefined && job["timeout-minutes"] === undefined)
      fault(`the job ${id} has no limit of time`);
    const commands = [
      ...(job.steps ?? []).map(({ run }) => run ?? ""),
      ...(job.strategy?.matrix?.command ?? []),
    ];
    for (const command of commands) {
      for (const [, target] of command.matchAll(/\bmake (?:-s )?([a-z][\w./-]*)/g))
        if (!makefile.includes(`\n${target}:`))
          fault(`the job ${id} runs make ${target}, which the Makefile does not have`);
      for (const [path] of command.matchAll(/\b(?:scripts|service|k8s)\/[\w./-]+\.sh\b/g))
        await readFile(new URL(path, root)).catch(() =>
          fault(`the job ${id} runs ${path}, which is not there`),
        );
      // What a stranger can choose (a title, a branch) is text in an environment variable, and never a part of a script.
      if (/\$\{\{\s*(github\.(event|head_ref)|inputs)\b/.test(command))
        fault(`the job ${id} puts an expression into a script`);
    }
  }
}
for (const fault of faults) process.stderr.write(`${fault}\n`);
if (faults.length > 0) process.exitCode = 1;
