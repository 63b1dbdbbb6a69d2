import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fingerprint, generateGraph } from "../../peer/graphs.ts";
import { openTestCore, type TestCore } from "../../support/core.ts";

interface Recording {
  peer: string;
  graphs: { seed: number; graph: string; next: string | null }[];
  samples: { file: string; sha256: string; tag: string; next: string | null; error?: string }[];
}
const recording = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../peer/recorded.json"), "utf8"),
) as Recording;
const folder = process.env.SAMPLES_DIR ?? "../shared/samples";

let test: TestCore;
let projects = 0;
beforeAll(async () => {
  test = await openTestCore();
});
afterAll(() => test.close());

/** Imports the text into a project of its own and gives the local id that compat mode names, tag by tag. */
async function nextOf(text: string, tags: string[]): Promise<(string | null)[]> {
  const { core, owner } = test;
  projects += 1;
  const key = `N${projects}`;
  await core.projects.create(owner, { key, name: key });
  await core.importExport.import(owner, key, text, { mode: "quarantine" });
  const answers: (string | null)[] = [];
  for (const tag of tags) {
    answers.push((await core.graphs.next(owner, key, tag, "compat")).task?.localId ?? null);
  }
  return answers;
}

describe(`next?mode=compat names what ${recording.peer} named`, () => {
  it(`on ${recording.graphs.length} random graphs`, async () => {
    expect(recording.graphs.length).toBeGreaterThanOrEqual(600);
    const wrong: object[] = [];
    for (let start = 0; start < recording.graphs.length; start += 50) {
      const part = recording.graphs.slice(start, start + 50);
      const graphs = part.map(({ seed, graph }) => {
        // Another generator would make other graphs, to which the answers do not belong.
        expect(fingerprint(generateGraph(seed))).toBe(graph);
        return [`g${seed}`, generateGraph(seed)] as const;
      });
      const file = Object.fromEntries(graphs);
      const answers = await nextOf(
        JSON.stringify(file),
        part.map(({ seed }) => `g${seed}`),
      );
      for (const [i, { seed, next }] of part.entries()) {
        if (answers[i] !== next) wrong.push({ seed, peer: next, here: answers[i] });
      }
    }
    expect(wrong).toEqual([]);
  });

  // Where the peer refused a file, or saw nothing in it, there is no answer to compare with.
  const answered = recording.samples.filter(({ error }) => error === undefined);
  const present = answered.filter(({ file }) => existsSync(join(folder, file)));
  if (present.length === 0) console.warn(`LEFT OUT: next on real files, because ${folder} is not there`);
  it("on real files, of which some were answered", () => expect(answered.length).toBeGreaterThanOrEqual(8));
  it.each(present.map((sample) => [sample.file, sample.tag, sample] as const))(
    "on %s, tag %s",
    async (_file, _tag, sample) => {
      const text = readFileSync(join(folder, sample.file), "utf8");
      expect(createHash("sha256").update(text).digest("hex")).toBe(sample.sha256);
      expect(await nextOf(text, [sample.tag])).toEqual([sample.next]);
    },
  );
});
