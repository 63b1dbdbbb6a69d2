import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ComplexityAnalysis, ExpandedTask, PlannedTasks, Task } from "../../../src/core/index.ts";
import { type ModelServer, numbered, openModelServer, says, sends } from "../../support/model-server.ts";
import { modes, openDescription, openServerPlace, type ServerPlace } from "./harness.ts";

let place: ServerPlace;
let model: ModelServer;
let differs: (operationId: string, value: unknown) => string | undefined;

beforeAll(async () => {
  model = await openModelServer();
  place = await openServerPlace({}, { languageModel: model.model() });
  differs = await openDescription();
});
afterAll(async () => {
  await place.close();
  await model.close();
});

it("has a task broken down", async () => {
  model.answer(says({ subtasks: numbered({ 1: [], 2: [1] }) }));
  const answer = await place.json<ExpandedTask>([
    "expand",
    "4",
    "--count",
    "2",
    "--prompt",
    "Think of paper.",
  ]);
  expect(differs("expandTask", answer)).toBeUndefined();
  expect(answer.subtasks.map(({ localId }) => localId)).toEqual(["4.1", "4.2"]);
  expect(JSON.stringify(model.requests[0]?.body.messages)).toContain("Think of paper.");
  model.answer(says({ subtasks: numbered({ 1: [] }) }));
  const { out } = await place.run(["expand", "--id=4", "--replace"]);
  expect(out).toMatch(/^4 +.*Four[\s\S]*^└ 4\.3 /m);
  expect(await place.run(["expand"])).toMatchObject({ code: 2 });
  expect(await place.run(["expand", "99"])).toMatchObject({ code: 3 });
  expect(await place.run(["expand", "4", "--count", "0"])).toMatchObject({ code: 2 });
});

it("has tasks made of a document, where none are or behind them", async () => {
  await place.json(["tags", "add", "planned"]);
  await writeFile(join(place.folder, "prd.md"), "# A shop\n");
  model.answer(says({ tasks: numbered({ 1: [], 2: [1] }, { priority: "medium" }) }));
  const answer = await place.json<PlannedTasks>(["parse-prd", "prd.md", "--tag", "planned"]);
  expect(differs("parsePrd", answer)).toBeUndefined();
  expect(answer.tasks).toHaveLength(2);
  expect(await place.run(["parse-prd", "prd.md", "--tag", "planned"])).toMatchObject({ code: 4 });
  const { out } = await place.run(["parse-prd", "-", "--tag", "planned", "--append"], {
    stdin: "More of it",
  });
  expect(out).toMatch(/^3 [\s\S]*^4 /m);
  expect(await place.run(["parse-prd"])).toMatchObject({ code: 2 });
  expect(await place.run(["parse-prd", "nowhere.md"])).toMatchObject({ code: 3 });
  expect(await place.run(["parse-prd", "prd.md", "--append", "--replace"])).toMatchObject({ code: 2 });
});

it("has tasks judged, written and changed", async () => {
  const verdict = { recommendedSubtasks: 3, expansionPrompt: "", reasoning: "Because" };
  model.answer(says({ tasks: [{ id: "1", score: 7, ...verdict }] }));
  const judged = await place.json<ComplexityAnalysis>(["analyze-complexity", "1"]);
  expect(differs("analyzeComplexity", judged)).toBeUndefined();
  expect((await place.run(["analyze-complexity", "--id=1"])).out).toMatch(
    /^1 +7 +3 +One\nTo be expanded: 1$/m,
  );

  model.answer(says({ title: "New", description: "", details: "", testStrategy: "", priority: "high" }));
  const drafted = await place.json<Task>(["add", "--prompt", "Something new", "--depends", "1"]);
  expect(differs("draftTask", drafted)).toBeUndefined();
  expect(drafted).toMatchObject({ title: "New", dependencies: ["1"] });

  model.answer(says({ title: "Newer", description: "", details: "", testStrategy: "" }));
  const revised = await place.json<Task>(["update", drafted.localId, "--prompt", "Newer"]);
  expect(differs("reviseTask", revised)).toBeUndefined();
  expect(revised.title).toBe("Newer");
});

it("says when the model gives no answer", async () => {
  model.answer(sends(401, { error: { message: "no" } }));
  expect(await place.run(["add", "--prompt", "x"])).toMatchObject({ code: 6 });
});

describe.each(modes)("without a model, on %s,", (_mode, open) => {
  it("says what to set", async () => {
    const bare = await open();
    try {
      for (const args of [
        ["expand", "4"],
        ["parse-prd", "-"],
        ["analyze-complexity"],
        ["add", "--prompt", "x"],
      ]) {
        expect(await bare.run(args, { stdin: "A shop." })).toMatchObject({
          code: 4,
          err: expect.stringContaining("TASKMASTER_LLM_BASE_URL"),
        });
      }
    } finally {
      await bare.close();
    }
  });
});
