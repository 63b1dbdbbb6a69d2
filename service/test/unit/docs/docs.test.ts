import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { renderConfiguration } from "../../docs/configuration.ts";

const root = fileURLToPath(new URL("../../../../", import.meta.url));

test("the reference of the settings is what the program knows; else run: make configuration", async () => {
  expect(await readFile(path.join(root, "docs/configuration.md"), "utf8")).toBe(renderConfiguration());
});

test("every file that a page names is there", async () => {
  const pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];
  for await (const page of glob("docs/**/*.md", { cwd: root })) pages.push(page);
  const missing: string[] = [];
  let named = 0;
  for (const page of pages) {
    const text = await readFile(path.join(root, page), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(([, to = ""]) =>
      path.join(path.dirname(page), to),
    );
    // Paths in code, from the root, of the folders whose files are named one by one.
    const paths = [...text.matchAll(/`((?:service|security|scripts|k8s)\/[\w./-]+\.\w+)`/g)].map(
      ([, to = ""]) => to,
    );
    for (const to of [...links, ...paths]) {
      named += 1;
      // A name in capitals stands for any.
      if (!/\/[A-Z]+\.\w+$/.test(to) && !existsSync(path.join(root, to))) missing.push(`${page} names ${to}`);
    }
  }
  expect(missing).toEqual([]);
  expect(named).toBeGreaterThan(100);
});
