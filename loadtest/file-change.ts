import { createFolder, openFolderCore } from "../service/test/support/folder.ts";
import { readOptions } from "./options.ts";
import { print, writeResult } from "./results.ts";
import { quantile } from "./statistics.ts";

const help = `Changes the status of single tasks in a tasks.json as large as the largest known one, and measures each change.

  node loadtest/file-change.ts [options]

  --changes N   how many changes count, after ten that do not (default 100)
  --help

A change is a transaction with its event, written to the journal and to tasks.json and synced. Also measured: the first start,
which takes the file in; a later one; and taking in an edit by somebody else. The result is loadtest/results/file-change.json and
a line each here. Exit code 1 when the median change takes 100 ms or more.
`;

const goalMs = 100;
const { changes } = readOptions(help, { changes: { default: 100, from: 1 } }).numbers;

/** 9 tags, 180 tasks, 900 subtasks, 1.7 MB: as the largest of 71 real files. */
function largeFile(): string {
  const words = "lorem ipsum dolor sit amet consetetur sadipscing elitr sed diam nonumy eirmod tempor".split(
    " ",
  );
  const text = (count: number) =>
    Array.from({ length: count }, (_, i) => words[(i * 7 + count) % words.length]).join(" ");
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const common = { title: text(6), status: "pending", testStrategy: text(40) };
  const tasks = numbers(20).map((id) => ({
    ...{ id, ...common, description: text(20), details: text(300), priority: "high" },
    dependencies: id > 2 ? [id - 1, id - 2] : [],
    subtasks: numbers(5).map((part) => ({
      ...{ id: part, ...common, description: text(15), details: text(150) },
      dependencies: part > 1 ? [part - 1] : [],
    })),
  }));
  const metadata = { created: "2026-01-01T00:00:00.000Z", description: "A tag" };
  const tags = numbers(9).map((tag) => [tag === 1 ? "master" : `tag-${tag}`, { tasks, metadata }]);
  return JSON.stringify(Object.fromEntries(tags), null, 2);
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await work();
  return [result, performance.now() - start];
}

const text = largeFile();
const folder = await createFolder(text);
try {
  const [{ core, owner, key, close }, firstStartMs] = await timed(() => openFolderCore(folder.directory));
  const times: number[] = [];
  for (let change = -10; change < changes; change += 1) {
    const turn = change + 10;
    const reference = `${key}:tag-${2 + (turn % 8)}:${1 + (turn % 20)}`;
    const { version, status } = await core.tasks.get(owner, reference);
    const patch = { status: status === "pending" ? ("in-progress" as const) : ("pending" as const) };
    const [, ms] = await timed(() => core.tasks.update(owner, reference, patch, { version }));
    if (change >= 0) times.push(ms);
  }
  await folder.write((await folder.read()).replace('"status": "pending"', '"status": "review"'));
  const [, editMs] = await timed(() => core.projects.list(owner, {}));
  await close();
  const [again, startMs] = await timed(() => openFolderCore(folder.directory));
  await again.close();

  const change = { p50: quantile(times, 0.5), p90: quantile(times, 0.9), max: quantile(times, 1) };
  const result = {
    bytes: text.length,
    changes,
    changeMs: change,
    firstStartMs,
    startMs,
    editMs,
    goalMs,
  };
  await writeResult("file-change", result);
  print(`A tasks.json of ${(text.length / 1e6).toFixed(1)} MB, 1,080 tasks and subtasks:`);
  print(
    `  a change of one status   p50 ${change.p50.toFixed(1)} ms, p90 ${change.p90.toFixed(1)} ms, most ${change.max.toFixed(1)} ms`,
  );
  print(`  the first start          ${firstStartMs.toFixed(0)} ms`);
  print(`  a later start            ${startMs.toFixed(0)} ms`);
  print(`  an edit by somebody else ${editMs.toFixed(0)} ms`);
  if (change.p50 >= goalMs) process.exitCode = 1;
} finally {
  await folder.remove();
}
