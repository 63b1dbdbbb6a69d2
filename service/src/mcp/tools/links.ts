import { Type } from "typebox";
import { invalidInput, Link, LinkUrl, maximumLimit, NewLink, PageQuery } from "../../core/index.ts";
import { pageThatFits } from "../budget.ts";
import { changing, Id, keyed, place, placed, placeOf, referenceIn } from "../place.ts";
import { adds, defineTool, reads, removes, type Tool } from "../tool.ts";

const getLinks = defineTool({
  name: "get_links",
  title: "See what tasks link to",
  description:
    "List the issues and the pull or merge requests (GitHub, GitLab, Jira, Linear) that a task (id) links to; or, given url, " +
    "which tasks link to that one, in all projects.",
  mode: "standard",
  annotations: reads,
  input: { ...place, id: Type.Optional(Id), url: Type.Optional(LinkUrl), ...PageQuery },
  output: { ...placed, links: Type.Array(Link), nextCursor: Type.Union([Type.String(), Type.Null()]) },
  async run(call, { id, url, limit = maximumLimit, cursor, ...input }) {
    if ((id === undefined) === (url === undefined)) {
      throw invalidInput("/id", "Give either id or url.");
    }
    const where = await placeOf(call, input);
    const from = cursor === undefined ? {} : { cursor };
    const page = await pageThatFits(limit, (count) =>
      url === undefined
        ? call.core.links.list(call.ctx, referenceIn(where, String(id)), { limit: count, ...from })
        : call.core.links.search(call.ctx, { url, limit: count, ...from }),
    );
    const lines = page.items.map(
      (link) => `${link.project}:${link.tag}:${link.localId} → ${link.key} ${link.url}`,
    );
    return {
      text: lines.length === 0 ? "There is no such link." : lines.join("\n"),
      content: { ...where, links: page.items, nextCursor: page.nextCursor },
    };
  },
});

const addLink = defineTool({
  name: "add_link",
  title: "Link a task",
  description:
    "Link a task (id) to an issue or a pull or merge request on GitHub, GitLab, Jira or Linear, by its address (url). Refused " +
    "with already_exists when it is linked.",
  mode: "standard",
  annotations: adds,
  input: { ...changing, id: Id, ...NewLink.properties },
  output: { ...placed, link: Link },
  async run(given, { id, url, title, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const wanted = title === undefined ? { url } : { url, title };
    const link = await call.core.links.add(call.ctx, referenceIn(where, id), wanted);
    return {
      text: `Task ${link.localId} in tag ${link.tag} links to ${link.key}, link ${link.id}.`,
      content: { project: link.project, tag: link.tag, link },
    };
  },
});

const removeLink = defineTool({
  name: "remove_link",
  title: "Take a link away",
  description: "Take a link (its id, from get_links) away from a task (id).",
  mode: "all",
  annotations: removes,
  input: { ...changing, id: Id, link: Type.String({ minLength: 1, maxLength: 100 }) },
  output: { ...placed, id: Type.String(), link: Type.String() },
  async run(given, { id, link, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    await call.core.links.remove(call.ctx, referenceIn(where, id), link);
    return {
      text: `Task ${id} in tag ${where.tag} has that link no more.`,
      content: { ...where, id, link },
    };
  },
});

export const linkTools: Tool[] = [getLinks, addLink, removeLink];
