/**
 * Asks the peer whether it accepts a tasks.json file. `--help` teaches.
 */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import {
  askList,
  askNext,
  complaint,
  createProject,
  defaultPeerDir,
  hasTags,
  inParallel,
  openPeer,
  PEER_PACKAGE,
  PEER_VERSION,
  type Peer,
  readJson,
  runPeer,
  type TagSize,
  tagsOf,
} from "./peer.ts";

const HELP = `Checks that ${PEER_PACKAGE}@${PEER_VERSION} accepts tasks.json files.

  node service/test/peer/accepts.ts [--peer DIR] [--width N] [--next FILE] FILE...

For each tag: \`list --json --with-subtasks\` gives as many tasks and subtasks as the file holds, \`next -f json\`
answers, and \`validate-dependencies\` has looked at all of them and complains of nothing. The files are copied, never
changed. A line for each tag, and last "N passed, N failed".

  --peer DIR   where the peer is installed, or shall be  (default ${defaultPeerDir()})
  --next FILE  what next must name: JSON, {"<file>": {"<tag>": "2.1" or null}}
  --width N    calls at the same time                    (default 2)
  --help       this text

Exits 1 when anything is refused, 2 when the check itself could not be made.
`;

interface Verdict {
  readonly name: string;
  readonly passed: boolean;
  readonly says: string;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      peer: { type: "string" },
      next: { type: "string" },
      width: { type: "string", default: "2" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (positionals.length === 0) {
    process.stderr.write(HELP);
    return 2;
  }
  const files = await Promise.all(positionals.map(async (file) => ({ file, content: await readFile(file) })));
  const expected =
    values.next === undefined
      ? undefined
      : (readJson(await readFile(values.next, "utf8")) as Record<string, Record<string, string | null>>);
  const peer = await openPeer(values.peer, (line) => console.error(line));
  const jobs: (() => Promise<Verdict>)[] = [];
  for (const { file, content } of files) {
    const tags = tagsOf(readJson(content.toString("utf8")));
    if (tags.length === 0) {
      jobs.push(async () => ({ name: file, passed: false, says: "not JSON, or no task list in it" }));
    }
    jobs.push(...tags.map((size) => () => judge(peer, file, content, size, expected?.[file]?.[size.tag])));
  }
  let passed = 0;
  await inParallel(jobs, Math.max(1, Number(values.width) || 2), async (job) => {
    const verdict = await job();
    passed += verdict.passed ? 1 : 0;
    console.log(`${verdict.passed ? "ok     " : "REFUSED"} ${verdict.name}: ${verdict.says}`);
  });
  console.log(`${passed} passed, ${jobs.length - passed} failed`);
  return passed === jobs.length ? 0 : 1;
}

async function judge(
  peer: Peer,
  file: string,
  content: Buffer,
  size: TagSize,
  expected: string | null | undefined,
): Promise<Verdict> {
  const name = `${file} ${size.tag}`;
  // The tag is made the current one too: a command given a tag it does not find answers for another one in silence.
  const project = await createProject(size.tag);
  try {
    await project.writeTasks(content);
    const problems: string[] = [];
    const listed = await askList(peer, project, size.tag);
    if ("error" in listed) {
      problems.push(`list: ${listed.error}`);
    } else if (listed.tasks !== size.tasks || listed.subtasks !== size.subtasks) {
      problems.push(
        `list: ${listed.tasks} tasks and ${listed.subtasks} subtasks of ${size.tasks} and ${size.subtasks}`,
      );
    }

    const next = await askNext(peer, project, size.tag);
    if ("error" in next) {
      problems.push(`next: ${next.error}`);
    } else if (expected !== undefined && next.next !== expected) {
      problems.push(`next: ${next.next}, and not ${expected}`);
    }

    const validation = await runPeer(peer, project, ["validate-dependencies", "--tag", size.tag]);
    const fault = dependencyFault(`${validation.stdout}\n${validation.stderr}`, size);
    if (validation.code !== 0 || fault !== undefined) {
      problems.push(`validate-dependencies: ${fault ?? complaint(validation)}`);
    }

    // The flat form is migrated to the tagged one by whoever reads it first; a tagged file has to stay as it is.
    const rewritten = (await project.readTasks()) !== content.toString("utf8");
    if (rewritten && hasTags(readJson(content.toString("utf8")))) {
      problems.push("the file was rewritten by a command that only reads");
    }
    const what = `${size.tasks} tasks, ${size.subtasks} subtasks, next ${"next" in next ? String(next.next) : "?"}`;
    return { name, passed: problems.length === 0, says: problems.length === 0 ? what : problems.join("; ") };
  } finally {
    await project.close();
  }
}

/**
 * What is wrong by the words of `validate-dependencies`, which exits 0 whatever it found. Its success message alone is
 * no proof, since it is also printed for another tag: the sizes it names must be this tag's.
 */
function dependencyFault(output: string, size: TagSize): string | undefined {
  const lines = output.split("\n").map((line) => line.trim());
  const errors = lines.filter((line) => line.startsWith("[ERROR]") || line.startsWith("Error"));
  if (errors.length > 0) {
    return errors.map((line) => line.replace(/^\[ERROR\]\s*/, "")).join(", ");
  }
  if (!lines.some((line) => line.includes("[SUCCESS]"))) {
    return "neither success nor an error was printed";
  }
  const looked = /for (\d+) tasks and (\d+) subtasks/.exec(output);
  if (Number(looked?.[1]) !== size.tasks || Number(looked?.[2]) !== size.subtasks) {
    return `looked at ${looked?.[1] ?? "?"} tasks and ${looked?.[2] ?? "?"} subtasks`;
  }
  return undefined;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
