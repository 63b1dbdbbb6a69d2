import { afterAll, afterEach, beforeAll } from "vitest";
import type { Core, Task } from "../../../src/core/index.ts";
import { openStream, type TestStream } from "../../support/streams.ts";
import { api, openTestApp, type TestApp } from "./harness.ts";

interface StreamOptions extends Partial<Record<"query" | "token" | "at", string>> {
  headers?: Record<string, string>;
}

interface Streams {
  /** There once the hooks before the tests have run. */
  readonly test: TestApp;
  /** A project of its own, whose log has one event so far. */
  makeProject(): Promise<string>;
  urlOf(key: string, query?: string, at?: string): string;
  /** Left when the test is over, if not before. */
  stream(key: string, options?: StreamOptions): Promise<TestStream>;
  write(key: string, title: string, core?: Core): Promise<Task>;
}

/** An app that listens, for the tests of the file that calls this, and streams of it. */
export function useStreams(): Streams {
  let test: TestApp;
  let address: string;
  const open: TestStream[] = [];
  let keys = 0;

  beforeAll(async () => {
    test = await openTestApp();
    address = await test.app.listen({ port: 0 });
  });
  afterEach(async () => {
    for (const stream of open.splice(0)) await stream.leave();
  });
  afterAll(async () => {
    await test.close();
  });

  const urlOf = (key: string, query = "", at = address) =>
    `${at}${api}/projects/${key}/events/stream${query}`;
  return {
    get test() {
      return test;
    },
    async makeProject() {
      keys += 1;
      const { key } = await test.core.projects.create(test.owner, { key: `S${keys}`, name: "Streamed" });
      return key;
    },
    urlOf,
    async stream(key, { query = "", token = test.token, headers = {}, at = address } = {}) {
      const opened = await openStream(urlOf(key, query, at), token, headers);
      open.push(opened);
      return opened;
    },
    write: async (key, title, core = test.core) =>
      await core.tasks.create(test.owner, key, "master", { title }),
  };
}

export const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
