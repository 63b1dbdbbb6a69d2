import { Type } from "typebox";
import { Event, EventQuery } from "../../core/index.ts";
import { pageThatFits } from "../budget.ts";
import { place, placed, placeOf } from "../place.ts";
import { defineTool, reads, type Tool } from "../tool.ts";

const getEvents = defineTool({
  name: "get_events",
  title: "Read what happened",
  description:
    "Read a project's events in order: who changed what. Ask again with after set to last, to see only what is new since.",
  mode: "standard",
  annotations: reads,
  input: { ...place, ...EventQuery.properties },
  output: { ...placed, items: Type.Array(Event), last: Type.Integer(), more: Type.Boolean() },
  async run(call, { after, limit = 50, ...input }) {
    const where = await placeOf(call, input);
    const query = after === undefined ? {} : { after };
    const list = await pageThatFits(limit, (most) =>
      call.core.events.list(call.ctx, where.project, { ...query, limit: most }),
    );
    const lines = list.items.map(({ sequence, type, actor }) => `${sequence} ${type} by ${actor.name}`);
    return {
      text: [`${list.items.length} events of ${where.project}, of every tag:`, ...lines].join("\n"),
      content: { ...where, ...list },
    };
  },
});

export const eventTools: Tool[] = [getEvents];
