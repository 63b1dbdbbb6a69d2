import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Link } from "../../../src/core/index.ts";
import { outcomes } from "../../support/core.ts";
import { ask, type McpTest, openMcp, refusedBy, seed } from "../mcp/harness.ts";
import { addOrganization, api } from "../rest/harness.ts";

let test: McpTest;
beforeAll(async () => {
  test = await openMcp();
  await seed(test.core, test.owner, "DEMO");
});
afterAll(() => test.close());

const issue = (number: number) => `https://github.com/acme/web/issues/${number}`;
let count = 0;
async function newTask(): Promise<string> {
  const { id } = await test.core.tasks.create(test.owner, "DEMO", "master", { title: `Task ${++count}` });
  return id;
}
const linksOf = (task: string) => `${api}/tasks/${task}/links`;

describe("a link over REST", () => {
  it("is made, shown, found by any form of its address, and taken away, each with its event", async () => {
    const task = await newTask();
    const made = await test.call<Link>("POST", linksOf(task), {
      body: { url: "https://github.com/Acme/Web/issues/12#top", title: "The form" },
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      task,
      project: "DEMO",
      tag: "master",
      url: issue(12),
      provider: "github",
      kind: "issue",
      key: "Acme/Web#12",
      title: "The form",
    });
    const { id } = made.body;
    expect(made.headers.location).toBe(`${linksOf(task)}/${id}`);
    expect((await test.call("GET", String(made.headers.location))).body).toEqual(made.body);
    expect((await test.call("GET", linksOf(task))).body).toEqual({ items: [made.body], nextCursor: null });
    const url = encodeURIComponent("http://www.github.com/ACME/web/issues/12/");
    expect((await test.call("GET", `${api}/links?url=${url}`)).body).toEqual({
      items: [made.body],
      nextCursor: null,
    });
    expect((await test.call("DELETE", `${linksOf(task)}/${id}`)).status).toBe(204);
    expect((await test.call("DELETE", `${linksOf(task)}/${id}`)).status).toBe(404);
    expect((await test.call("GET", `${api}/links?url=${url}`)).body).toEqual({ items: [], nextCursor: null });

    const audit = await test.call<{ items: { type: string; data: object }[] }>(
      "GET",
      `${api}/audit?task=${task}`,
    );
    const told = {
      link: id,
      url: issue(12),
      provider: "github",
      kind: "issue",
      key: "Acme/Web#12",
      title: "The form",
    };
    expect(audit.body.items.slice(0, 2)).toMatchObject([
      { type: "link.removed", data: told },
      { type: "link.added", data: told },
    ]);
  });

  it("is no change of its task: neither its version nor a claim is in the way", async () => {
    const task = await newTask();
    const agent = await test.owner;
    await test.core.claims.claim(agent, task, {});
    const before = await test.core.tasks.get(test.owner, task);
    expect((await test.call("POST", linksOf(task), { body: { url: issue(1) } })).status).toBe(201);
    expect(await test.core.tasks.get(test.owner, task)).toEqual(before);
  });

  it("is made once, however many make it at once, and again", async () => {
    const task = await newTask();
    const one = outcomes(
      Array.from({ length: 10 }, () => test.core.links.add(test.owner, task, { url: issue(1) })),
    );
    expect(await one).toEqual({ ok: 1, already_exists: 9 });
    const again = await test.call("POST", linksOf(task), { body: { url: `${issue(1)}?again` } });
    expect(again.status).toBe(409);
    const [there] = (await test.core.links.list(test.owner, task, {})).items;
    expect(again.body).toMatchObject({ code: "already_exists", link: there?.id });
  });

  it("is made once under an Idempotency-Key", async () => {
    const task = await newTask();
    const call = { body: { url: issue(2) }, headers: { "idempotency-key": "link" } };
    const first = await test.call("POST", linksOf(task), call);
    const second = await test.call("POST", linksOf(task), call);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.text).toBe(first.text);
    const other = await test.call("POST", linksOf(task), { ...call, body: { url: issue(3) } });
    expect(other.body.code).toBe("idempotency_mismatch");
  });

  it("is one of at most fifty, also when they are made at once", async () => {
    const task = await newTask();
    const add = (from: number, count: number) =>
      outcomes(
        Array.from({ length: count }, (_, i) =>
          test.core.links.add(test.owner, task, { url: issue(from + i) }),
        ),
      );
    for (let from = 1; from < 46; from += 5) expect(await add(from, 5)).toEqual({ ok: 5 });
    expect(await add(46, 10)).toEqual({ ok: 5, conflict: 5 });
    const page = await test.call<{ items: Link[]; nextCursor: string }>("GET", `${linksOf(task)}?limit=30`);
    expect(page.body.items).toHaveLength(30);
    const rest = await test.call<{ items: Link[] }>(
      "GET",
      `${linksOf(task)}?limit=30&cursor=${page.body.nextCursor}&fields=id,url`,
    );
    expect(rest.body.items).toHaveLength(20);
    expect(Object.keys(rest.body.items[0] ?? {}).sort()).toEqual(["id", "url"]);
    expect(new Set([...page.body.items, ...rest.body.items].map(({ id }) => id)).size).toBe(50);
  });

  it("is refused with the forms that there are, and where it was wrong", async () => {
    const task = await newTask();
    const refused = await test.call("POST", linksOf(task), { body: { url: "https://example.com/x" } });
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ code: "invalid_input", errors: [{ pointer: "/url" }] });
    const unknown = await test.call("POST", linksOf(task), { body: { url: issue(1), label: "x" } });
    expect(unknown.status).toBe(422);
    const search = await test.call("GET", `${api}/links?url=nothing`);
    expect(search.status).toBe(400);
    expect(search.body).toMatchObject({ errors: [{ pointer: "/query/url" }] });
    expect((await test.call("GET", `${api}/links`)).status).toBe(400);
    expect((await test.call("POST", linksOf("DEMO:master:999"), { body: { url: issue(1) } })).status).toBe(
      404,
    );
    expect((await test.call("GET", `${linksOf(task)}/nothing`)).status).toBe(400);
  });

  it("belongs to its task only", async () => {
    const [one, other] = [await newTask(), await newTask()];
    const link = await test.core.links.add(test.owner, one, { url: issue(4) });
    expect((await test.call("GET", `${linksOf(other)}/${link.id}`)).status).toBe(404);
    expect((await test.call("DELETE", `${linksOf(other)}/${link.id}`)).status).toBe(404);
    expect((await test.call("GET", `${linksOf(one)}/${link.id}`)).status).toBe(200);
  });

  it("stays with its task when that is moved, and goes with it", async () => {
    const task = await newTask();
    const parent = await newTask();
    await test.core.links.add(test.owner, task, { url: issue(77) });
    const { version } = await test.core.tasks.get(test.owner, task);
    const moved = await test.core.tasks.move(test.owner, task, { parent }, { version });
    const found = await test.core.links.search(test.owner, { url: issue(77) });
    expect(found.items).toMatchObject([{ task, localId: moved.localId }]);
    const { version: last } = await test.core.tasks.get(test.owner, parent);
    await test.core.tasks.delete(test.owner, parent, { version: last });
    expect((await test.core.links.search(test.owner, { url: issue(77) })).items).toEqual([]);
  });

  it("is found by its own organization only", async () => {
    const stranger = await addOrganization(test.storage, "elsewhere");
    await seed(test.core, stranger, "DEMO");
    await test.core.links.add(stranger, "DEMO:master:1", { url: issue(500) });
    await test.core.links.add(test.owner, await newTask(), { url: issue(500) });
    const { items } = await test.core.links.search(stranger, { url: issue(500) });
    expect(items).toMatchObject([{ localId: "1" }]);
  });
});

describe("a link over MCP", () => {
  it("is made, listed by task and by address, and taken away", async () => {
    const client = await test.connect(test.token);
    const url = "https://linear.app/acme/issue/ENG-7/a-title";
    const { link } = (await ask(client, "add_link", { id: "1", url, idempotencyKey: "one" })) as unknown as {
      link: Link;
    };
    expect(link).toMatchObject({ localId: "1", key: "ENG-7", title: null });
    expect(await ask(client, "get_links", { id: "1" })).toMatchObject({ links: [link], nextCursor: null });
    expect(await ask(client, "get_links", { url })).toMatchObject({ links: [link] });
    expect(await refusedBy(client, "add_link", { id: "1", url })).toBe("already_exists");
    expect(await refusedBy(client, "get_links", {})).toBe("invalid_input");
    expect(await refusedBy(client, "get_links", { id: "1", url })).toBe("invalid_input");
    expect((await client.listTools()).tools.map(({ name }) => name)).not.toContain("remove_link");
  });

  it("is taken away where every tool is listed", async () => {
    const all = await openMcp({ TASKMASTER_MCP_MODE: "all" });
    try {
      await seed(all.core, all.owner, "DEMO");
      const client = await all.connect(all.token);
      const made = await all.core.links.add(all.owner, "DEMO:master:2", { url: issue(9), title: "Nine" });
      await ask(client, "remove_link", { id: "2", link: made.id });
      expect(await refusedBy(client, "remove_link", { id: "2", link: made.id })).toBe("not_found");
      expect(await ask(client, "get_links", { id: "2" })).toMatchObject({ links: [] });
      await ask(client, "add_link", { id: "2", url: issue(9), title: "Nine" });
    } finally {
      await all.close();
    }
  });
});
