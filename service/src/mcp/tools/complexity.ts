import { Type } from "typebox";
import { Complexity, PageQuery } from "../../core/index.ts";
import { pageThatFits } from "../budget.ts";
import { place, placed, placeOf } from "../place.ts";
import { defineTool, reads, type Tool } from "../tool.ts";

const Scored = Type.Object(
  { localId: Type.String(), title: Type.String(), complexity: Complexity },
  { additionalProperties: false },
);

const complexityReport = defineTool({
  name: "complexity_report",
  title: "Read the complexity report",
  description:
    "List the tasks that have a complexity score, and why. A page looks at `limit` tasks and shows the scored ones among " +
    "them, so that it may be empty and still have a nextCursor.",
  mode: "standard",
  annotations: reads,
  input: { ...place, ...PageQuery },
  output: {
    ...placed,
    items: Type.Array(Scored),
    nextCursor: Type.Union([Type.String(), Type.Null()]),
  },
  async run(call, { limit = 50, cursor, ...input }) {
    const where = await placeOf(call, input);
    const query = cursor === undefined ? {} : { cursor };
    const page = await pageThatFits(
      limit,
      (most) =>
        call.core.tasks.list(call.ctx, where.project, where.tag, { ...query, level: "task", limit: most }),
      (items) => items.map(({ localId, title, complexity }) => ({ localId, title, complexity })),
    );
    const items = page.items.flatMap(({ localId, title, complexity }) =>
      complexity === null ? [] : [{ localId, title, complexity }],
    );
    const lines = items.map(
      (item) => `${item.localId} ${item.title}: ${item.complexity.score ?? "no score"}`,
    );
    return {
      text: [`${items.length} scored tasks in tag ${where.tag} of ${where.project}.`, ...lines].join("\n"),
      content: { ...where, items, nextCursor: page.nextCursor },
    };
  },
});

export const complexityTools: Tool[] = [complexityReport];
