import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type McpTest, openMcp, seed } from "./harness.ts";

/** 25,000 tokens, of three bytes each. */
const most = 75_000;
const folder = process.env.SAMPLES_DIR ?? resolve(import.meta.dirname, "../../../../../shared/samples");
const sample = join(folder, "tagged-many-tags.json");

let test: McpTest;
let client: Client;

beforeAll(async () => {
  test = await openMcp({ TASKMASTER_MCP_MODE: "all" });
  client = await test.connect(test.token);
});
afterAll(async () => {
  await test.close();
});

/** The answer, which must be small enough. */
async function small(name: string, input: Record<string, unknown>): Promise<Record<string, unknown>> {
  const result = await client.callTool({ name, arguments: input });
  expect([name, result.isError ?? false]).toEqual([name, false]);
  expect(Buffer.byteLength(JSON.stringify(result))).toBeLessThan(most);
  return result.structuredContent as Record<string, unknown>;
}

async function everyPage(name: string, input: Record<string, unknown>): Promise<unknown[]> {
  const items: unknown[] = [];
  for (let cursor: unknown; cursor !== null; ) {
    const page = await small(name, cursor === undefined ? input : { ...input, cursor });
    items.push(...(page.items as unknown[]));
    cursor = page.nextCursor;
  }
  return items;
}

describe("no answer is larger than 25,000 tokens", () => {
  it("the list of all tools", async () => {
    expect(Buffer.byteLength(JSON.stringify(await client.listTools()))).toBeLessThan(most);
  });

  it("a task with the longest texts, which are read on by offset", async () => {
    await seed(test.core, test.owner, "LONG");
    const long = Array.from({ length: 20_000 }, (_, i) => `word${i}`)
      .join(" ")
      .slice(0, 180_000);
    await test.core.tasks.create(test.owner, "LONG", "master", { title: "Long", details: long });
    const wide = await test.core.tasks.create(test.owner, "LONG", "master", {
      title: "Wide",
      description: "語".repeat(100_000),
      metadata: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key${i}`, "value"])),
    });
    const whole = await small("get_task", { id: "5" });
    expect(whole.cut).toMatchObject([{ pointer: "/tasks/0/details" }]);
    let read = "";
    while (read.length < long.length) {
      const { tasks } = await small("get_task", { id: "5", fields: "details", offset: read.length });
      const part = (tasks as { details: string }[])[0]?.details ?? "";
      expect(part).not.toBe("");
      read += part;
    }
    expect(read === long).toBe(true);
    await small("get_task", { id: `5,${wide.id}` });
    await small("get_tasks", { limit: 200, fields: "title,details,description,metadata" });
    await small("get_events", { limit: 200 });
    await small("next_task", {});
    await test.core.projects.delete(test.owner, "LONG", 1);
  });

  if (existsSync(sample)) {
    it("the largest sample: every list and every task", async () => {
      await test.core.projects.create(test.owner, { key: "BIG", name: "Big" });
      const text = readFileSync(sample, "utf8");
      await test.core.importExport.import(test.owner, "BIG", text, { mode: "quarantine" });
      const tags = await test.core.tags.list(test.owner, "BIG");
      let tasks = 0;
      for (const { name } of tags) {
        const at = { project: "BIG", tag: name };
        const items = await everyPage("get_tasks", { ...at, withSubtasks: true, limit: 200 });
        const full = await everyPage("get_tasks", {
          ...at,
          withSubtasks: true,
          limit: 200,
          fields: "localId,description,details,testStrategy,extra",
        });
        expect(full).toHaveLength(items.length);
        const ids = (items as { localId: string }[]).map(({ localId }) => localId);
        expect(new Set(ids).size).toBe(ids.length);
        tasks += ids.length;
        for (const id of ids.filter((one) => !one.includes("."))) await small("get_task", { ...at, id });
        await small("get_task", { ...at, id: ids.slice(0, 50).join(",") });
        await small("next_task", at);
        await small("complexity_report", at);
        await small("validate_dependencies", at);
      }
      expect(tasks).toBe(306);
      await everyPage("list_tags", { project: "BIG" });
      await small("get_events", { project: "BIG", limit: 200 });
    }, 60_000);
  }
});
