import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ConfigError } from "../../../src/config.ts";
import { definitions, openTestFlags, subject } from "./support.ts";

let folder: string;
let file: string;
const closers: (() => Promise<void>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "flags-"));
  file = join(folder, "flags.json");
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await rm(folder, { recursive: true });
});

async function open(config: Parameters<typeof openTestFlags>[0]) {
  const opened = await openTestFlags(config);
  closers.push(opened.close);
  return opened;
}

/** Long enough for a machine that is busy; the file is looked at every second. */
const soon = { timeout: 15_000, interval: 100 };

describe("flags", () => {
  it("are on without any source", async () => {
    const { flags } = await open({});
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: true, reason: "default" });
  });

  it("are as the settings say, whatever the file says", async () => {
    await writeFile(file, definitions({ "smart-next": true, webhooks: false }));
    const { flags } = await open({ settings: [{ flag: "smart-next", on: false }], file });
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: false, reason: "setting" });
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: false, reason: "static" });
  });

  it.each([
    ["organization", "acme", "other"],
    ["organizationId", subject.organizationId, "other"],
    ["targetingKey", subject.organizationId, "other"],
    ["actorKind", "agent", "user"],
    ["actorId", subject.actor.id, "other"],
    ["role", "agent", "owner"],
  ])("can be targeted by %s", async (name, own, other) => {
    const rule = (value: string) => ({ to: false, when: { "===": [{ var: name }, value] } });
    await writeFile(file, definitions({ "smart-next": rule(own), webhooks: rule(other) }));
    const { flags } = await open({ file });
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: false, reason: "targeting" });
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: true, reason: "default" });
  });

  it("that the file does not define, or defines badly, have their default", async () => {
    const broken = {
      state: "ENABLED",
      variants: { no: false },
      defaultVariant: "no",
      targeting: { if: [true, "gone", null] },
    };
    await writeFile(file, JSON.stringify({ flags: { "smart-next": broken } }));
    const { flags } = await open({ file });
    expect(await flags.evaluate("webhooks", subject)).toEqual({ on: true, reason: "default" });
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: true, reason: "error" });
  });

  it("have their default where the file has switched the rule off", async () => {
    const off = { state: "DISABLED", variants: { no: false }, defaultVariant: "no" };
    await writeFile(file, JSON.stringify({ flags: { "smart-next": off } }));
    const { flags } = await open({ file });
    expect(await flags.evaluate("smart-next", subject)).toEqual({ on: true, reason: "disabled" });
  });

  it("follow the file, and keep what was there last when it is broken or gone", async () => {
    await writeFile(file, definitions({ webhooks: true }));
    const { flags, lines } = await open({ file });
    const on = async () => (await flags.evaluate("webhooks", subject)).on;
    expect(await on()).toBe(true);

    await writeFile(file, definitions({ webhooks: false }));
    await vi.waitFor(async () => expect(await on()).toBe(false), soon);

    await writeFile(file, '{"flags": {"webhooks": ');
    await vi.waitFor(() => expect(lines.join("")).toContain("It is not JSON"), soon);
    expect(await on()).toBe(false);

    await writeFile(file, definitions({ webhook: true }));
    await vi.waitFor(() => expect(lines.join("")).toContain('It defines \\"webhook\\"'), soon);
    expect(await on()).toBe(false);

    await rm(file);
    await vi.waitFor(() => expect(lines.join("")).toContain("ENOENT"), soon);
    expect(await on()).toBe(false);

    await writeFile(file, definitions({ webhooks: true }));
    await vi.waitFor(async () => expect(await on()).toBe(true), soon);
  }, 90_000);

  it("follow a link that is swapped, as Kubernetes does with a ConfigMap", async () => {
    await writeFile(join(folder, "one"), definitions({ webhooks: true }));
    await writeFile(join(folder, "two"), definitions({ webhooks: false }));
    await symlink("one", file);
    const { flags } = await open({ file });
    expect((await flags.evaluate("webhooks", subject)).on).toBe(true);
    await symlink("two", join(folder, "new"));
    await rename(join(folder, "new"), file);
    await vi.waitFor(async () => expect((await flags.evaluate("webhooks", subject)).on).toBe(false), soon);
  }, 30_000);
});

describe("the start is refused, with the reason, for a file that", () => {
  it.each([
    ["is no JSON", "{", "It is not JSON"],
    ["has no flags", "{}", "must have required property 'flags'"],
    ["is no object", "[]", "it must be object"],
    ["defines an unknown flag", definitions({ smart_next: true }), "the flags are smart-next and webhooks"],
    [
      "has variants that are no booleans",
      JSON.stringify({
        flags: { webhooks: { state: "ENABLED", variants: { a: "on" }, defaultVariant: "a" } },
      }),
      "must be true or false",
    ],
    [
      "names a default variant that there is not",
      JSON.stringify({
        flags: { webhooks: { state: "ENABLED", variants: { a: true }, defaultVariant: "b" } },
      }),
      "It is not in flagd's form",
    ],
    [
      "has a state of its own",
      JSON.stringify({ flags: { webhooks: { state: "ON", variants: { a: true }, defaultVariant: "a" } } }),
      "/flags/webhooks/state must be",
    ],
  ])("%s", async (_, text, reason) => {
    await writeFile(file, text);
    const refused = await openTestFlags({ file }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConfigError);
    expect((refused as Error).message).toContain("TASKMASTER_FLAGS_FILE");
    expect((refused as Error).message).toContain(reason);
  });

  it("is not there", async () => {
    const refused = await openTestFlags({ file }).catch((error: unknown) => error);
    expect((refused as Error).message).toContain("ENOENT");
  });
});
