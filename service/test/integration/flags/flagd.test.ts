import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type SyncServer, startSyncServer } from "./flagd.ts";
import { definitions, openTestFlags, subject } from "./support.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serve(text: string, port?: number): Promise<SyncServer> {
  const server = await startSyncServer(text, port);
  closers.push(() => server.stop());
  return server;
}

async function open(port: number, settings: Parameters<typeof openTestFlags>[0] = {}) {
  const opened = await openTestFlags({ flagd: { host: "127.0.0.1", port }, ...settings });
  // Before the server stops, as a process does.
  closers.unshift(opened.close);
  return opened;
}

const soon = { timeout: 20_000, interval: 100 };
const forAgents = { to: false, when: { "===": [{ var: "actorKind" }, "agent"] } };

describe("flags of a flagd", () => {
  it("are evaluated here, with targeting, and follow what it tells", async () => {
    const server = await serve(definitions({ "smart-next": forAgents }));
    const { flags } = await open(server.port);
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: false, reason: "targeting" });
    const person = { ...subject, actor: { ...subject.actor, kind: "user" as const } };
    expect(await flags.evaluate("smart-next", person)).toEqual({ on: true, reason: "default" });
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: true, reason: "default" });

    server.tell(definitions({ webhooks: false }));
    await vi.waitFor(
      async () => expect(await flags.evaluate("webhooks", subject)).toEqual({ on: false, reason: "static" }),
      soon,
    );
  });

  it("give way to the settings", async () => {
    const server = await serve(definitions({ webhooks: true }));
    const { flags } = await open(server.port, { settings: [{ flag: "webhooks", on: false }] });
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: false, reason: "setting" });
  });

  it("have their defaults, and say why, while it has never been reached; and then are its", async () => {
    const gone = await serve("{}");
    gone.stop();
    const { flags, lines } = await open(gone.port, { settings: [{ flag: "webhooks", on: false }] });
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: true, reason: "unavailable" });
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: false, reason: "setting" });
    expect(lines.filter((line) => line.includes("flagd cannot be reached"))).toHaveLength(1);

    await serve(definitions({ "smart-next": false }), gone.port);
    await vi.waitFor(
      async () =>
        expect(await flags.evaluate("smart-next", subject)).toEqual({ on: false, reason: "static" }),
      soon,
    );
    expect(lines.join("")).toContain("flagd can be reached again");
  }, 60_000);

  it("are closed while it is away without a word of its being back", async () => {
    const { lines, close } = await openTestFlags({ flagd: { host: "127.0.0.1", port: 1 } });
    await expect.poll(() => lines.join("")).toContain("flagd cannot be reached");
    await close();
    expect(lines.join("")).not.toContain("again");
  });

  it("stay as it told them last when it goes away", async () => {
    const server = await serve(definitions({ webhooks: false }));
    const { flags } = await open(server.port);
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: false, reason: "static" });
    server.stop();
    await vi.waitFor(
      async () => expect(await flags.evaluate("webhooks", subject)).toEqual({ on: false, reason: "stale" }),
      soon,
    );
  }, 60_000);

  it("let the process end when they are closed, also while it is away", async () => {
    const gone = await serve("{}");
    gone.stop();
    const url = new URL("../../../src/flags/open.ts", import.meta.url);
    const log = "{ debug() {}, info() {}, warn() {} }";
    const script = `
      const { openFlags } = await import(${JSON.stringify(url.href)});
      const config = { settings: [], file: null, flagd: { host: "127.0.0.1", port: ${gone.port} } };
      const { close } = await openFlags(config, ${log});
      await close();
      console.log("closed");`;
    const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
      timeout: 30_000,
    });
    expect((await run).stdout).toBe("closed\n");
  }, 60_000);
});
