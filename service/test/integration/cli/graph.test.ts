import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FixResult, TaskDependencies, Validation } from "../../../src/core/index.ts";
import { modes, openDescription, type Place } from "./harness.ts";

describe.each(modes)("on %s:", (_mode, open) => {
  let place: Place;
  let differs: (operationId: string, value: unknown) => string | undefined;

  beforeAll(async () => {
    place = await open();
    differs = await openDescription();
  });
  afterAll(async () => {
    await place.close();
  });

  const waits = ({ dependsOn }: TaskDependencies) => dependsOn.map(({ localId }) => localId);

  it("adds and takes away dependencies, by its own words and the other tool's", async () => {
    const added = await place.json<TaskDependencies>(["depend", "4", "--on", "2,3.1"]);
    expect(differs("addDependency", added)).toBeUndefined();
    expect(waits(added)).toEqual(["2", "3.1"]);
    expect(waits(await place.json(["add-dependency", "--id=4", "--depends-on=1"]))).toEqual([
      "2",
      "3.1",
      "1",
    ]);
    const { out } = await place.run(["undepend", "4", "--on", "3.1"]);
    expect(out).toMatch(
      /4 Four\n +waits for 2 +○ pending +Two\n +waits for 1 .*\n +is waited for by nothing\n/,
    );
    expect(waits(await place.json(["remove-dependency", "--id=4", "--depends-on=1,2"]))).toEqual([]);
  });

  it("refuses a cycle with its path, what is not there, and half a sentence", async () => {
    expect(await place.run(["depend", "1", "--on", "2"])).toMatchObject({
      code: 4,
      err: expect.stringMatching(/cycle.*1.*2|1 → 2 → 1/),
    });
    const refused = await place.run(["depend", "1", "--on", "2", "--json"]);
    expect(JSON.parse(refused.err)).toMatchObject({ code: "cycle", status: 409 });
    expect(await place.run(["depend", "1", "--on", "99"])).toMatchObject({ code: 3 });
    expect(await place.run(["depend", "1"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("depend 4 --on 2"),
    });
    expect(await place.run(["undepend", "1", "--on", "4"])).toMatchObject({ code: 3 });
  });

  it("validates and fixes what an import kept inactive, with an exit code for scripts", async () => {
    expect(await place.run(["validate"])).toMatchObject({
      code: 0,
      out: expect.stringContaining("Every dependency holds."),
    });
    expect((await place.run(["fix"])).out).toContain("There was nothing to fix.");
    const task = (id: number, dependencies: unknown[]) => ({
      id,
      title: `T${id}`,
      status: "pending",
      dependencies,
    });
    const file = { loose: { tasks: [task(1, [2]), task(2, [1, 9])] } };
    await place.json(["import", "-", "--mode", "quarantine"], { stdin: JSON.stringify(file) });

    const seen = await place.run(["validate-dependencies", "--tag", "loose"]);
    expect(seen.code).toBe(7);
    expect(seen.out).toMatch(/^2 +missing +9 +T2$/m);
    const answer = await place.run(["validate", "--tag", "loose", "--json"]);
    expect([answer.code, differs("validateDependencies", JSON.parse(answer.out) as Validation)]).toEqual([
      7,
      undefined,
    ]);

    const fixed = await place.json<FixResult>(["fix-dependencies", "--tag", "loose"]);
    expect(differs("fixDependencies", fixed)).toBeUndefined();
    expect(fixed.removed.map(({ raw }) => raw)).toContain("9");
    expect((await place.run(["validate", "--tag", "loose"])).code).toBe(0);
  });

  it("shows what was fixed", async () => {
    const file = { more: { tasks: [{ id: 1, title: "T1", status: "pending", dependencies: [7] }] } };
    await place.json(["import", "-", "--mode", "quarantine"], { stdin: JSON.stringify(file) });
    expect((await place.run(["fix", "--tag", "more"])).out).toMatch(
      /These are gone:\nID +PROBLEM.*\n1 +missing +7 +T1\n/,
    );
  });
});
