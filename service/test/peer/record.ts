/**
 * Records what the peer answers to `next` for generated and for real task lists. `--help` teaches.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fingerprint, generateGraph } from "./graphs.ts";
import {
  askList,
  askNext,
  createProject,
  defaultPeerDir,
  inParallel,
  type NextAnswer,
  openPeer,
  PEER_PACKAGE,
  PEER_VERSION,
  type Peer,
  type PeerProject,
  readJson,
  type TagSize,
  tagsOf,
} from "./peer.ts";

/** A generated list's answer; `graph` is its fingerprint, so that a change of the generator cannot go unnoticed. */
interface RecordedGraph {
  readonly seed: number;
  readonly graph: string;
  readonly next: string | null;
}

/**
 * A real file's answer for one tag. With an `error` its `next` means nothing: the peer refused, in the words given, or it
 * read the file without complaint and saw other tasks than are in it.
 */
interface RecordedSample {
  readonly file: string;
  readonly sha256: string;
  readonly tag: string;
  readonly next: string | null;
  readonly error?: string;
}

interface Recording {
  readonly peer: string;
  readonly graphs: readonly RecordedGraph[];
  readonly samples: readonly RecordedSample[];
}

const PEER_NAME = `${PEER_PACKAGE}@${PEER_VERSION}`;
const DEFAULT_OUT = fileURLToPath(new URL("recorded.json", import.meta.url));
const DEFAULT_SEEDS = "1-800";
/** How many answers may be lost when the recorder is stopped. */
const SAVE_EVERY = 10;

const HELP = `Records the answers of ${PEER_NAME} to \`next\`, to compare our own with.

  node service/test/peer/record.ts [options]

  --seeds FROM-TO   the generated lists to ask about          (default ${DEFAULT_SEEDS})
  --samples DIR     also ask about every *.json in DIR, a tasks.json of any form, tag by tag; only the
                    file's name, its SHA-256, the tag and the id are written down
  --peer DIR        where the peer is installed, or shall be  (default ${defaultPeerDir()})
  --out FILE        the recording                             (default recorded.json beside this script)
  --width N         calls at the same time                    (default 2)
  --check N         write nothing: ask again about N recorded lists, spread evenly, and compare
  --help            this text

A call takes two to four seconds. What is recorded already is kept as long as the list or the file is the same, so a
stopped run goes on where it was. Exits 1 when the peer refuses a generated list, or when --check finds a difference.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: DEFAULT_SEEDS },
      samples: { type: "string" },
      peer: { type: "string" },
      out: { type: "string", default: DEFAULT_OUT },
      width: { type: "string", default: "2" },
      check: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const width = wholeNumber("--width", values.width);
  const seeds = seedRange(values.seeds);
  const before = await readRecording(values.out);
  const peer = await openPeer(values.peer, (line) => console.error(line));

  if (values.check !== undefined) {
    return check(peer, before, wholeNumber("--check", values.check), width);
  }
  const save = (recording: Recording): Promise<void> => writeRecording(values.out, recording);
  const graphs = await recordGraphs(peer, before, seeds, width, save);
  const samples =
    values.samples === undefined ? before.samples : await recordSamples(peer, before, values.samples, width);
  await save({ peer: PEER_NAME, graphs: graphs.recorded, samples });
  console.log(`${graphs.recorded.length} generated lists and ${samples.length} tags of real files recorded`);
  for (const refusal of graphs.refused) {
    console.error(`refused: ${refusal}`);
  }
  return graphs.refused.length === 0 ? 0 : 1;
}

async function recordGraphs(
  peer: Peer,
  before: Recording,
  seeds: readonly number[],
  width: number,
  save: (recording: Recording) => Promise<void>,
): Promise<{ recorded: RecordedGraph[]; refused: string[] }> {
  // An answer outside the range asked for is kept, but never one to a list that its seed no longer makes.
  const known = before.graphs.filter((entry) => entry.graph === fingerprint(generateGraph(entry.seed)));
  const recorded = new Map(known.map((entry) => [entry.seed, entry]));
  const sorted = (): RecordedGraph[] => [...recorded.values()].sort((one, other) => one.seed - other.seed);
  const missing = seeds.filter((seed) => !recorded.has(seed));
  const refused: string[] = [];
  let saving = Promise.resolve();
  await askAll(peer, missing, width, (seed, answer, count) => {
    if ("error" in answer) {
      refused.push(`seed ${seed}: ${answer.error}`);
    } else {
      recorded.set(seed, { seed, graph: fingerprint(generateGraph(seed)), next: answer.next });
    }
    if (count % SAVE_EVERY === 0) {
      saving = saving.then(() => save({ peer: PEER_NAME, graphs: sorted(), samples: before.samples }));
    }
  });
  await saving;
  return { recorded: sorted(), refused };
}

/** Asks again about `count` recorded lists and compares; the exit code. */
async function check(peer: Peer, before: Recording, count: number, width: number): Promise<number> {
  const step = Math.max(1, before.graphs.length / count);
  const chosen = before.graphs.filter(
    (_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step),
  );
  const bySeed = new Map(chosen.map((entry) => [entry.seed, entry]));
  let differences = 0;
  const differs = (line: string): void => {
    differences += 1;
    console.error(line);
  };
  await askAll(peer, [...bySeed.keys()], width, (seed, answer) => {
    const entry = bySeed.get(seed);
    if (entry?.graph !== fingerprint(generateGraph(seed))) {
      differs(`seed ${seed}: the generator makes another list now; record again`);
    } else if ("error" in answer || answer.next !== entry.next) {
      differs(`seed ${seed}: recorded ${JSON.stringify(entry.next)}, now ${JSON.stringify(answer)}`);
    }
  });
  console.log(`${bySeed.size} lists asked about again, ${differences} differences`);
  return differences === 0 && bySeed.size > 0 ? 0 : 1;
}

/** One project with a tag for each seed: the size of the file costs a call next to nothing, starting is what takes long. */
async function askAll(
  peer: Peer,
  seeds: readonly number[],
  width: number,
  answered: (seed: number, answer: NextAnswer, count: number) => void,
): Promise<void> {
  const project = await createProject();
  try {
    const tags = seeds.map((seed) => [`seed-${seed}`, generateGraph(seed)] as const);
    await project.writeTasks(JSON.stringify(Object.fromEntries(tags)));
    const progress = makeProgress(seeds.length);
    let count = 0;
    await inParallel(seeds, width, async (seed) => {
      const answer = await askNext(peer, project, `seed-${seed}`);
      count += 1;
      answered(seed, answer, count);
      progress(count);
    });
  } finally {
    await project.close();
  }
}

async function recordSamples(
  peer: Peer,
  before: Recording,
  dir: string,
  width: number,
): Promise<RecordedSample[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(".json")).sort();
  const wanted: { file: string; sha256: string; size: TagSize; content: Buffer }[] = [];
  for (const name of names) {
    const content = await readFile(join(dir, name));
    const tags = tagsOf(readJson(content.toString("utf8")));
    for (const size of tags.length > 0 ? tags : [{ tag: "master", tasks: 0, subtasks: 0 }]) {
      wanted.push({ file: basename(name), sha256: sha256(content), size, content });
    }
  }
  const progress = makeProgress(wanted.length);
  let count = 0;
  return inParallel(wanted, width, async ({ file, sha256, size, content }): Promise<RecordedSample> => {
    const { tag } = size;
    const known = before.samples.find((one) => one.file === file && one.tag === tag && one.sha256 === sha256);
    const sample = known ?? { file, sha256, tag, ...(await askSample(peer, content, size)) };
    count += 1;
    progress(count);
    return sample;
  });
}

async function askSample(
  peer: Peer,
  content: Buffer,
  size: TagSize,
): Promise<Pick<RecordedSample, "next" | "error">> {
  // A project of its own for each tag, so that a file the peer migrates is never what the next call sees.
  const project = await createProject();
  try {
    await project.writeTasks(content);
    const answer = await askNext(peer, project, size.tag);
    const error = "error" in answer ? answer.error : await unseen(peer, project, size);
    return error === undefined && "next" in answer
      ? answer
      : { next: null, error: String(error).slice(0, 120) };
  } finally {
    await project.close();
  }
}

/** What the peer overlooks in a tag, if anything: of some forms it reads nothing, and says so nowhere. */
async function unseen(peer: Peer, project: PeerProject, size: TagSize): Promise<string | undefined> {
  const listed = await askList(peer, project, size.tag);
  if ("error" in listed) {
    return `list: ${listed.error}`;
  }
  const same = listed.tasks === size.tasks && listed.subtasks === size.subtasks;
  return same
    ? undefined
    : `sees ${listed.tasks} tasks and ${listed.subtasks} subtasks of ${size.tasks} and ${size.subtasks}`;
}

async function readRecording(path: string): Promise<Recording> {
  const empty: Recording = { peer: PEER_NAME, graphs: [], samples: [] };
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    return empty;
  }
  const recording = JSON.parse(text) as Recording;
  // Answers of another version are worth nothing beside this one's.
  return recording.peer === PEER_NAME ? recording : empty;
}

/** Writes one entry a line, for small diffs, and renames into place, so that a stopped run leaves a whole file. */
async function writeRecording(path: string, recording: Recording): Promise<void> {
  const lines = (entries: readonly object[]): string =>
    entries.length === 0
      ? "[]"
      : `[\n${entries.map((entry) => `    ${JSON.stringify(entry)}`).join(",\n")}\n  ]`;
  const members = [
    `  "peer": ${JSON.stringify(recording.peer)}`,
    `  "graphs": ${lines(recording.graphs)}`,
    `  "samples": ${lines(recording.samples)}`,
  ];
  await writeFile(`${path}.part`, `{\n${members.join(",\n")}\n}\n`);
  await rename(`${path}.part`, path);
}

/** A line on stderr, rewritten in place on a terminal and repeated every 25 answers elsewhere. */
function makeProgress(total: number): (count: number) => void {
  const begun = Date.now();
  return (count) => {
    const seconds = (Date.now() - begun) / 1000;
    const left = Math.round((seconds / count) * (total - count));
    const line = `${count} of ${total}, ${(seconds / count).toFixed(1)} s each, about ${left} s left`;
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${line}   ${count === total ? "\n" : ""}`);
    } else if (count % 25 === 0 || count === total) {
      process.stderr.write(`${line}\n`);
    }
  };
}

function seedRange(text: string): number[] {
  const [from, to] = /^(\d+)-(\d+)$/.exec(text)?.slice(1).map(Number) ?? [];
  if (from === undefined || to === undefined || to < from) {
    throw new Error(`--seeds takes FROM-TO, such as ${DEFAULT_SEEDS}, not ${text}`);
  }
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) {
    throw new Error(`${name} takes a whole number above 0, not ${text}`);
  }
  return Number(text);
}

function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
