import { chmod, mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLog } from "../../../src/log.ts";
import { createTelemetry } from "../../../src/telemetry/create.ts";
import { type Collector, openCollector } from "../../support/collector.ts";
import { startCli } from "../../support/program.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "task-master-pro-traces-"));
  // As root the database runs as another user.
  await chmod(folder, 0o711);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** The program with its own database, some requests, and a stop; how it answered, what it wrote, and how long the stop took. */
async function runProgram(settings: Record<string, string>) {
  const program = startCli(["serve", "--welcome"], {
    TASKMASTER_DATA_DIRECTORY: join(folder, "data"),
    TASKMASTER_SESSION_SECRET: "a secret for tests, of thirty-two bytes or more",
    PORT: "0",
    ...settings,
  });
  try {
    const url = await program.until(/Task Master Pro is ready at (\S+)/);
    const answers: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 20; i += 1) {
        const response = await fetch(`${url}/api/v1/projects`, { headers: { authorization: "Bearer none" } });
        await response.arrayBuffer();
        answers.push(response.status);
      }
      // Each round is a batch of its own.
      await sleep(2_500);
    }
    await fetch(`${url}/api/v1/projects`);
    const before = performance.now();
    program.child.kill("SIGINT");
    const { code, stdout } = await program.ended;
    const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
    return { answers, code, stopMs: performance.now() - before, log: lines.map((line) => JSON.parse(line)) };
  } finally {
    program.child.kill("SIGKILL");
    await program.ended;
  }
}

const always = { OTEL_TRACES_SAMPLER: "always_on" };
const refused = (answers: number[]) => answers.every((status) => status === 401) && answers.length === 60;
const told = (log: { msg: string }[]) => log.filter(({ msg }) => /trac/.test(msg)).map(({ msg }) => msg);

test("with a collector everything arrives, the last of it at the stop", async () => {
  const collector = await openCollector();
  try {
    const { answers, code, log, stopMs } = await runProgram({
      ...always,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    });
    expect([refused(answers), code]).toEqual([true, 0]);
    expect(collector.spans.filter(({ kind }) => kind === "server")).toHaveLength(61);
    expect(told(log)).toEqual([]);
    expect(stopMs).toBeLessThan(5_000);
  } finally {
    await collector.close();
  }
}, 60_000);

test("without one requests are answered alike and the stop is as soon; the log says so once, and at the end how many", async () => {
  const gone = await openCollector();
  await gone.close();
  const { answers, code, log, stopMs } = await runProgram({
    ...always,
    OTEL_EXPORTER_OTLP_ENDPOINT: gone.endpoint,
  });
  expect([refused(answers), code]).toEqual([true, 0]);
  expect(told(log)).toEqual(["traces are lost, and nothing else is", "traces were lost"]);
  expect(log.find(({ msg }) => /^traces are lost/.test(msg)).reason).toContain("ECONNREFUSED");
  expect(log.find(({ msg }) => msg === "traces were lost").lost).toBeGreaterThan(60);
  expect(stopMs).toBeLessThan(5_000);
}, 60_000);

test("one that never answers holds up nothing, and the stop no longer than its bound", async () => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  try {
    const { answers, code, log, stopMs } = await runProgram({
      ...always,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
    });
    expect([refused(answers), code]).toEqual([true, 0]);
    expect(sockets.size).toBeGreaterThan(0);
    expect(told(log).at(-1)).toBe("traces were lost");
    expect(told(log).length).toBeLessThanOrEqual(2);
    // The bound, and what the embedded database needs to stop.
    expect(stopMs).toBeLessThan(6_500);
  } finally {
    for (const socket of sockets) socket.destroy();
    silent.close();
  }
}, 60_000);

test.each([{ OTEL_TRACES_SAMPLER: "always_off" }, { OTEL_TRACES_SAMPLER_ARG: "0" }])(
  "%o traces nothing",
  async (sampling) => {
    const collector = await openCollector();
    try {
      const { answers } = await runProgram({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, ...sampling });
      expect(refused(answers)).toBe(true);
      expect(collector.requests).toEqual([]);
    } finally {
      await collector.close();
    }
  },
  60_000,
);

interface Tracing {
  collector: Collector;
  telemetry: ReturnType<typeof createTelemetry>;
  lines: { msg: string; lost?: number }[];
  requests(count: number, traceparent?: string): void;
}

async function withTelemetry(
  options: {
    sampler?: "always_on" | "traceidratio" | "parentbased_traceidratio";
    ratio?: number;
    most?: number;
  },
  work: (tracing: Tracing) => Promise<void>,
  answer?: Parameters<typeof openCollector>[0],
): Promise<void> {
  const collector = await openCollector(answer);
  const lines: Tracing["lines"] = [];
  const log = createLog({ logLevel: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const telemetry = createTelemetry(
    {
      url: `${collector.endpoint}/v1/traces`,
      headers: {},
      serviceName: "test",
      resourceAttributes: {},
      sampler: options.sampler ?? "always_on",
      ratio: options.ratio ?? 1,
    },
    { version: "1", log, delayMs: 50, flushMs: 10_000, maximumWaiting: options.most ?? 4096 },
  );
  const requests = (count: number, traceparent?: string) => {
    for (let i = 0; i < count; i += 1) {
      telemetry.http
        .began({ method: "GET", scheme: "http", traceparent })
        ?.ended({ route: "/", status: "200" });
    }
  };
  try {
    await work({ collector, telemetry, lines, requests });
  } finally {
    await telemetry.close();
    await collector.close();
  }
}

test("a ratio takes its part; parent-based, the caller's word counts more", async () => {
  const parent = (flags: string) => `00-ffffffff000000000000000000000000-00f067aa0ba902b7-${flags}`;
  await withTelemetry(
    { sampler: "traceidratio", ratio: 0.25 },
    async ({ collector, requests, telemetry }) => {
      requests(2000);
      requests(10, parent("01"));
      await telemetry.close();
      expect(collector.spans.length).toBeGreaterThan(400);
      expect(collector.spans.length).toBeLessThan(600);
      expect(collector.spans.filter(({ parentId }) => parentId !== "")).toEqual([]);
    },
  );
  await withTelemetry(
    { sampler: "parentbased_traceidratio", ratio: 0 },
    async ({ collector, requests, telemetry }) => {
      requests(100);
      requests(10, parent("01"));
      requests(10, parent("00"));
      await telemetry.close();
      expect(collector.spans).toHaveLength(10);
    },
  );
});

test("no more than so many spans wait; what is more is lost and counted, and what comes later is sent", async () => {
  await withTelemetry({ most: 100 }, async ({ collector, requests, lines }) => {
    requests(1000);
    await expect.poll(() => collector.spans.length).toBe(100);
    await expect
      .poll(() => lines.map(({ msg, lost }) => [msg, lost]))
      .toEqual([
        ["traces are lost, and nothing else is", undefined],
        ["traces are sent again", 900],
      ]);
    requests(50);
    await expect.poll(() => collector.spans.length).toBe(150);
  });
});

test("a collector that asks to wait is asked again; one that refuses is not", async () => {
  let asked = 0;
  await withTelemetry(
    {},
    async ({ collector, requests, lines }) => {
      requests(10);
      await expect.poll(() => collector.requests.length, { timeout: 5_000 }).toBe(2);
      await sleep(200);
      expect(lines).toEqual([]);
    },
    (response) => void response.writeHead(asked++ === 0 ? 503 : 200).end(),
  );
  await withTelemetry(
    {},
    async ({ collector, requests, lines }) => {
      requests(10);
      await expect.poll(() => lines.length, { timeout: 5_000 }).toBe(1);
      expect(lines[0]).toMatchObject({ reason: "The collector answered 401." });
      expect(collector.requests).toHaveLength(1);
    },
    (response) => void response.writeHead(401).end(),
  );
});

test("an outage is said once, whatever number of batches is lost, and its end with their spans", async () => {
  let down = true;
  await withTelemetry(
    {},
    async ({ collector, requests, lines }) => {
      for (let batch = 1; batch <= 5; batch += 1) {
        requests(10);
        await expect.poll(() => collector.requests.length).toBe(batch);
      }
      down = false;
      requests(10);
      await expect
        .poll(() => lines.map(({ msg, lost }) => [msg, lost]))
        .toEqual([
          ["traces are lost, and nothing else is", undefined],
          ["traces are sent again", 50],
        ]);
    },
    (response) => void response.writeHead(down ? 500 : 200).end(),
  );
});
