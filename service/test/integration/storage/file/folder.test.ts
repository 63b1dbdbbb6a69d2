import { existsSync, readdirSync, readFileSync } from "node:fs";
import { lstat, mkdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { AppError } from "../../../../src/core/errors.ts";
import { openFile } from "../../../../src/storage/file/open.ts";
import { createFolder, type FolderCore, openFolderCore, type TestFolder } from "../../../support/folder.ts";

const samples =
  process.env.SAMPLES_DIR ?? path.resolve(import.meta.dirname, "../../../../../../shared/samples");
const example = readFileSync(path.resolve(import.meta.dirname, "../../../../examples/tasks.json"), "utf8");

let folder: TestFolder;
const open: FolderCore[] = [];

async function start(text?: string): Promise<FolderCore> {
  folder = await createFolder(text);
  return await again();
}
async function again(): Promise<FolderCore> {
  const opened = await openFolderCore(folder.directory);
  open.push(opened);
  return opened;
}
afterEach(async () => {
  for (const { close } of open.splice(0)) await close();
  await folder.remove();
});

const withExtras = `${JSON.stringify(
  {
    master: {
      tasks: [
        {
          id: 1,
          owner: { team: "a", "0": [1.0, null] },
          title: "First",
          status: "completed",
          parentId: "undefined",
          dependencies: [99],
        },
        {
          id: "two",
          title: "Second",
          description: "d",
          status: "pending",
          priority: "P0",
          dependencies: [1],
        },
      ],
      metadata: { description: "m", created: "2026-01-01T00:00:00.000Z", custom: true },
    },
    note: "no tag",
  },
  null,
  2,
)}\n`;

describe("a folder with a tasks.json", () => {
  it("becomes a project of the first organization, with nothing in the file changed", async () => {
    const { core, owner, key } = await start(example);
    expect(key).toMatch(/^TASK-MASTER-PRO-FILE-/);
    expect(await core.importExport.export(owner, key, {})).toBe(example);
    expect(await folder.read()).toBe(example);
    const { items } = await core.events.list(owner, key, {});
    expect(items.map(({ sequence, type }) => [sequence, type])).toEqual([
      [1, "project.created"],
      [2, "project.imported"],
    ]);
    expect((await core.importExport.listRuns(owner, key, {})).items).toMatchObject([{ mode: "quarantine" }]);
  });

  it("keeps what cannot hold and what it does not know, through a change of something else", async () => {
    const { core, owner, key } = await start(withExtras);
    const [run] = (await core.importExport.listRuns(owner, key, {})).items;
    expect(run?.report.problems.map(({ code }) => code).sort()).toEqual([
      "dependency_missing",
      "unknown_priority",
    ]);
    expect(await folder.read()).toBe(withExtras);
    await core.tasks.update(owner, `${key}:master:two`, { status: "in-progress" }, { version: 1 });
    expect(await folder.read()).toBe(withExtras.replace('"pending"', '"in-progress"'));
    await core.tasks.update(owner, `${key}:master:two`, { status: "pending" }, { version: 2 });
    expect(await folder.read()).toBe(withExtras);
  });

  it("is not written by what it does not show", async () => {
    const indented = JSON.stringify(JSON.parse(example), null, 4);
    const { core, owner, key } = await start(indented);
    const { id } = await core.tasks.get(owner, `${key}:master:1`);
    await core.comments.create(owner, id, { body: "said" });
    await core.agents.create(owner, { name: "agent" });
    await core.projects.create(owner, { key: "OTHER", name: "Other" });
    await core.tasks.create(owner, "OTHER", "master", { title: "Elsewhere" });
    expect(await folder.read()).toBe(indented);
    const other = await again();
    expect((await other.core.tasks.get(other.owner, "OTHER:master:1")).title).toBe("Elsewhere");
    expect((await other.core.comments.list(other.owner, id, {})).items).toMatchObject([{ body: "said" }]);
  });

  it("is written through a link, with the mode that it had", async () => {
    folder = await createFolder();
    const elsewhere = path.join(folder.directory, "shared.json");
    await writeFile(elsewhere, example, { mode: 0o640 });
    await symlink(elsewhere, folder.file);
    const { core, owner, key } = await again();
    await core.tasks.create(owner, key, "master", { title: "Through the link" });
    expect((await lstat(folder.file)).isSymbolicLink()).toBe(true);
    expect(await readFile(elsewhere, "utf8")).toContain("Through the link");
    expect((await stat(elsewhere)).mode & 0o777).toBe(0o640);
  });
});

describe("a folder without one", () => {
  it("gets one that the other tool reads, with a tag to begin in", async () => {
    const { core, owner, key } = await start();
    expect(JSON.parse(await folder.read())).toMatchObject({ master: { tasks: [] } });
    await core.tasks.create(owner, key, "master", { title: "First" });
    const { master } = JSON.parse(await folder.read());
    expect(master.tasks).toMatchObject([
      { id: 1, title: "First", description: "First", status: "pending", priority: "medium", subtasks: [] },
    ]);
  });

  it("is called as the folder is", async () => {
    folder = await createFolder();
    for (const [name, key] of [
      ["my app", "MY-APP"],
      ["2026_plan", "PLAN"],
      ["結", "TASKS"],
      ["x".repeat(40), "X".repeat(32)],
    ] as const) {
      const directory = path.join(folder.directory, name);
      await mkdir(directory);
      const opened = await openFolderCore(directory);
      open.push(opened);
      expect(opened.key).toBe(key);
    }
  });

  it("has no project before there is an organization for it", async () => {
    folder = await createFolder();
    const storage = await openFile({ directory: folder.directory });
    expect(await storage.identity.countOrganizations()).toBe(0);
    expect(existsSync(folder.file)).toBe(false);
    await storage.close();
  });
});

describe("what lies beside the file", () => {
  it("is its owner's alone, and nothing for git", async () => {
    await start(example);
    expect((await stat(folder.sidecar)).mode & 0o777).toBe(0o700);
    expect(await readFile(path.join(folder.sidecar, ".gitignore"), "utf8")).toMatch(/^\*$/m);
    for (const name of readdirSync(folder.sidecar).filter((file) => file !== ".gitignore")) {
      expect([name, (await stat(path.join(folder.sidecar, name))).mode & 0o777]).toEqual([name, 0o600]);
    }
  });

  it("keeps ids, versions, claims and tokens over a restart", async () => {
    const first = await start(example);
    const task = await first.core.tasks.get(first.owner, `${first.key}:master:1`);
    const claim = await first.core.claims.claimNext(first.owner, first.key, "master", {});
    const { token } = await first.core.tokens.create(first.owner, { name: "t", scopes: ["read"] });
    await first.close();
    const second = await again();
    expect((await second.core.tasks.get(second.owner, `${first.key}:master:1`)).id).toBe(task.id);
    expect(await second.core.claims.get(second.owner, claim?.id ?? "")).toEqual(claim);
    expect((await second.core.access.fromAccessToken(token)).actor).toEqual(second.owner.actor);
    expect(second.owner.organizationId).toBe(first.owner.organizationId);
  });

  it("can be begun anew from the file alone", async () => {
    const first = await start(withExtras);
    await first.core.tasks.update(first.owner, `${first.key}:master:1`, { title: "Renamed" }, { version: 1 });
    await first.close();
    await rename(folder.sidecar, `${folder.sidecar}-away`);
    const second = await again();
    expect((await second.core.tasks.get(second.owner, `${second.key}:master:1`)).title).toBe("Renamed");
  });
});

it("does not delete the file's project", async () => {
  const { core, owner, key } = await start(example);
  const refusal: AppError = await core.projects.delete(owner, key, 1).then(
    () => expect.fail("it was deleted"),
    (error) => error,
  );
  expect([refusal.code, refusal.message]).toEqual(["conflict", expect.stringContaining("tasks.json")]);
  expect(await folder.read()).toBe(example);
});

if (existsSync(samples)) {
  it.each(readdirSync(samples).filter((name) => name.endsWith(".json")))(
    "%s comes through adding and removing a task byte for byte",
    async (name) => {
      const text = readFileSync(path.join(samples, name), "utf8");
      const { core, owner, key } = await start(text);
      const [tag] = await core.tags.list(owner, key);
      const made = await core.tasks.create(owner, key, tag?.name ?? "", { title: "Passing through" });
      expect(await folder.read()).toContain("Passing through");
      await core.tasks.delete(owner, made.id, { version: made.version });
      expect((await folder.read()) === text).toBe(true);
    },
  );
} else {
  console.warn(
    `Left out: the tests on real files, because there is no folder ${samples}. SAMPLES_DIR names another.`,
  );
  it("has no real files here and says so", async () => {
    folder = await createFolder();
    expect(existsSync(samples)).toBe(false);
  });
}
