import { expect, it } from "vitest";
import type { Page, Task } from "../../../src/core/index.ts";
import { api } from "../rest/harness.ts";
import { openFolderPlace, openServerPlace, type Place } from "./harness.ts";

const commands = [
  ["add", "Five", "--priority", "high", "--depends", "1,2", "--label", "web"],
  ["add", "Below", "--parent", "4"],
  ["add", "Nothing", "--depends", "77"],
  ["update", "2", "--title", "Two, better", "--assignee", "ada"],
  ["set-status", "3.1", "done"],
  ["set-status", "3.2,4.1", "done"],
  ["depend", "1", "--on", "5"],
  ["depend", "4", "--on", "2"],
  ["undepend", "5", "--on", "2"],
  ["move", "5", "--before", "2"],
  ["move", "4.1", "--top"],
  ["move", "3", "--parent", "2"],
  ["claim", "--ttl", "60s"],
  ["claim", "1"],
  ["claim", "complete", "1", "--note", "Done."],
  ["claim", "complete", "1"],
  ["start", "2"],
  ["claim", "fail", "2", "--note", "No."],
  ["comment", "2", "Twice."],
  ["tags", "copy", "master", "copy"],
  ["tags", "rename", "copy", "copied"],
  ["remove", "2"],
  ["remove", "2"],
  ["next"],
  ["validate"],
  ["fix"],
  ["tags", "delete", "copied"],
  ["list", "--with-subtasks"],
  ["export"],
];

/** What differs by nature: where it is, its owner's name, and the ids and times of its rows. */
function comparable(text: string, { name, folder }: Place): string {
  return text
    .replaceAll(name, "PLACE")
    .replaceAll(folder, "FOLDER")
    .replaceAll(/owner@[a-z.]+/g, "owner")
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "uuid")
    .replaceAll(/\d{4}-\d\d-\d\dT[0-9:.]+Z/g, "time");
}

it("is the same on a server and on a folder: answers, exit codes, refusals, and what comes of it all", async () => {
  const [server, folder] = [await openServerPlace(), await openFolderPlace()];
  try {
    for (const args of commands) {
      for (const form of [[], ["--json"]]) {
        // Twice would be another command.
        if (form.length > 0 && !/^(next|validate|list|export)$/.test(args[0] ?? "")) continue;
        const seen = [];
        for (const place of [server, folder]) {
          const { code, out, err } = await place.run([...args, ...form]);
          seen.push({ args, code, out: comparable(out, place), err: comparable(err, place) });
        }
        expect(seen[1]).toEqual(seen[0]);
      }
    }
  } finally {
    await server.close();
    await folder.close();
  }
}, 120_000);

it("is what the API itself does", async () => {
  const place = await openServerPlace();
  try {
    const { call, core, owner } = place.app;
    await core.projects.create(owner, { key: "REST", name: "REST" });
    const file = await place.run(["export", "--project", "DEMO"]);
    await call("POST", `${api}/projects/REST/import`, { raw: file.out });
    const at = `${api}/tasks/REST:master`;
    await call("POST", `${api}/projects/REST/tags/master/tasks`, {
      body: { title: "Five", dependencies: ["1"] },
    });
    await call("PATCH", `${at}:2`, { body: { status: "review" }, headers: { "if-match": '"1"' } });
    await call("PUT", `${at}:4/dependencies/2`);
    const { body } = await call<{ id: string }>("POST", `${at}:1/claims`, { body: {} });
    await call("POST", `${api}/claims/${body.id}/complete`, { body: { fence: 1, note: "Done." } });

    const here = ["--project", "DEMO"];
    await place.run(["add", "Five", "--depends", "1", ...here]);
    await place.run(["set-status", "2", "review", ...here]);
    await place.run(["depend", "4", "--on", "2", ...here]);
    await place.run(["claim", "1", ...here]);
    await place.run(["claim", "complete", "1", "--note", "Done.", ...here]);

    const stateOf = async (key: string) => {
      const page = await place.json<Page<Task>>(["list", "--with-subtasks", "--project", key]);
      const { items } = await core.events.list(owner, key, { limit: 200 });
      const events = items
        .filter(({ type }) => !type.startsWith("project."))
        .map(({ type, data }) => ({ type, data }));
      return comparable(JSON.stringify({ page, events }), place).replaceAll(/\b(REST|DEMO)\b/g, "KEY");
    };
    expect(await stateOf("DEMO")).toBe(await stateOf("REST"));
  } finally {
    await place.close();
  }
}, 120_000);
