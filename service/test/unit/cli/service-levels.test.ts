import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { noRoute, waiting } from "../../../src/cli/service-levels.ts";

test("the report leaves out the routes that the rules leave out", async () => {
  const rules = await readFile(
    new URL("../../../../charts/task-master-pro/files/rules.yaml", import.meta.url),
    "utf8",
  );
  const leftOut = new Set([...rules.matchAll(/http_route!~"([^"]*)"/g)].map(([, routes]) => routes));
  expect(leftOut).toEqual(new Set([noRoute, `${noRoute}|${waiting}`]));
});
