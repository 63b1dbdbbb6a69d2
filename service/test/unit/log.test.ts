import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { expect, it, vi } from "vitest";
import { createLog } from "../../src/log.ts";

function logged(write: (log: ReturnType<typeof createLog>) => void, level: "info" | "warn" = "info"): string {
  const lines: string[] = [];
  write(createLog({ logLevel: level }, { write: (line) => void lines.push(line) }));
  return lines.join("");
}

it("writes one JSON object a line, with its level and time", () => {
  const entry = JSON.parse(logged((log) => log.info({ a: 1 }, "hello")));
  expect(entry).toEqual({ level: "info", time: expect.stringMatching(/^\d{4}-.*Z$/), a: 1, msg: "hello" });
});

it("says the time of each line to the millisecond, in UTC, also where the second is another than the line's before", () => {
  const instants = [
    "2026-11-27T23:59:59.999Z",
    "2026-11-28T00:00:00.000Z",
    "2026-11-28T00:00:00.007Z",
    "2026-11-27T23:59:59.080Z",
  ];
  vi.useFakeTimers({ toFake: ["Date"] });
  try {
    const text = logged((log) => {
      for (const instant of instants) {
        vi.setSystemTime(instant);
        log.info("hello");
      }
    });
    const lines = text.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).time)).toEqual(instants);
  } finally {
    vi.useRealTimers();
  }
});

it("keeps silent below its level", () => {
  expect(logged((log) => log.info("hello"), "warn")).toBe("");
});

it.each([
  ["by name", { headers: { Authorization: "hush", cookie: "hush", "set-cookie": ["hush"] } }],
  ["by name at any depth", { a: [{ b: { accessToken: "hush", clientSecret: "hush", password: "hush" } }] }],
  ["inside text", { url: "postgres://user:hush@db/x", note: "tmp_hush12345678 eyJhush.eyJhush.hush" }],
  ["inside an encoded address", { url: "/x?t=%22tmp_hush12345678&s=%20whsec_hush12345678" }],
  [
    "inside errors and their causes",
    { err: new Error("redis://:hush@x", { cause: new Error("tmp_hush12345678") }) },
  ],
  ["on errors", { err: Object.assign(new Error("x"), { config: { headers: { a: "hush" } } }) }],
])("hides secrets %s", (_where, entry) => {
  const text = logged((log) => log.info(entry, "done"));
  expect(text).toContain("done");
  expect(text).not.toContain("hush");
});

it("hides secrets in messages and in what a child logger carries", () => {
  expect(logged((log) => log.info("token tmp_hush12345678"))).not.toContain("hush");
  expect(logged((log) => log.child({ secret: "hush" }).info("x"))).not.toContain("hush");
  const grandchild = (log: ReturnType<typeof createLog>) =>
    log.child({ a: 1 }).child({ requestId: "tmp_hush12345678" });
  expect(logged((log) => grandchild(log).info("x"))).not.toContain("hush");
});

it("hides what the configuration says is secret, wherever and in whatever form it turns up", () => {
  const secret = "s3cret+of/the settings?";
  const log = (entry: object) => {
    const lines: string[] = [];
    createLog({ logLevel: "info", secrets: [secret] }, { write: (line) => void lines.push(line) }).info(
      entry,
    );
    return lines.join("");
  };
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const forms = [
    secret,
    encodeURIComponent(secret),
    ...["", "a", "ab", "abc"].map((more) => base64(more + secret + more)),
  ];
  for (const form of forms)
    expect(log({ note: `before ${form} after`, kept: "x" })).toMatch(/\[hidden\].*"kept":"x"/);
  expect(log({ note: Buffer.from(`user:${secret}`).toString("base64url") })).toContain("[hidden]");
});

it("keeps an error's name, message and stack", () => {
  const entry = JSON.parse(logged((log) => log.error({ err: new TypeError("broke") }, "failed")));
  expect(entry.err).toMatchObject({
    type: "TypeError",
    message: "broke",
    stack: expect.stringContaining("log.test.ts"),
  });
});

const source = resolve(import.meta.dirname, "../../src/log.ts");

/** What a program writes that logs to its standard output and then ends so. */
async function writtenBy(ending: string): Promise<{ lines: string[]; code: unknown }> {
  const program = `import { createLog } from ${JSON.stringify(source)};
    const log = createLog({ logLevel: "info" });
    for (let i = 0; i < 2000; i += 1) log.info({ i }, "line");
    ${ending}`;
  return await new Promise((done) => {
    execFile(
      process.execPath,
      ["--input-type=module", "--eval", program],
      { maxBuffer: 1e8 },
      (error, stdout) => done({ lines: stdout.split("\n").slice(0, -1), code: error?.code ?? 0 }),
    );
  });
}

it.each([
  ["by itself", "", 0],
  ["by a call", "process.exit(3);", 3],
  ["by an error that nobody caught", "throw new Error('broke');", 1],
  ["by one in a later turn", "setImmediate(() => { throw new Error('broke'); });", 1],
])("loses no line of a program that ends %s", async (_how, ending, exitCode) => {
  const { lines, code } = await writtenBy(ending);
  expect(code).toBe(exitCode);
  expect(lines.map((line) => JSON.parse(line).i)).toEqual(Array.from({ length: 2000 }, (_, i) => i));
});
