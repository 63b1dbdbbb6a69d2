import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { runCli } from "../support/program.ts";

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});

/** As in a pod or a job: no session secret is needed. */
const token = async (...args: string[]) =>
  await runCli(["token", ...args], { DATABASE_URL: database.connectionString });

test("on a new database a token is made with its first organization, once, and only when an owner is named", async () => {
  const bare = await token();
  expect(bare).toMatchObject({ code: 1, stdout: "" });
  expect(bare.stderr).toContain("token --email");
  expect((await token("--email", "nobody")).stderr).toContain('--email is "nobody"');
  expect((await token("--email", "a@b", "--organization", "A B")).stderr).toContain(
    '--organization is "A B"',
  );

  // Two at once, as two impatient operators would.
  const made = await Promise.all([1, 2].map(async () => await token("--email", "Ada@example.com", "--json")));
  const issued = made.map(({ stdout }) => JSON.parse(stdout) as Record<string, string>);
  expect(issued).toMatchObject([
    { organization: "home", email: "Ada@example.com" },
    { organization: "home", email: "Ada@example.com" },
  ]);
  expect(new Set(issued.map((one) => one.token)).size).toBe(2);

  const later = await token("--email", "eve@example.com", "--organization", "other");
  expect(later.stdout).toContain("A token for Ada@example.com, owner of home");
});
