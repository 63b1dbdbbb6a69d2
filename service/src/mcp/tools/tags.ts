import { Type } from "typebox";
import { invalidInput, PageQuery, type Tag, TagName } from "../../core/index.ts";
import { clip, pageThatFits } from "../budget.ts";
import { changing, keyed, onPresent, place, placed, placeOf, versioned } from "../place.ts";
import { adds, type Call, defineTool, reads, removes, sets, type Tool } from "../tool.ts";

const { project } = place;
const { tag: _t, ...changingProject } = changing;
const { tag: _g, ...versionedProject } = versioned;
const TagLine = Type.Object(
  { name: Type.String(), description: Type.String(), version: Type.Integer() },
  { additionalProperties: false },
);

function lineOf({ name, description, version }: Tag) {
  return { name, description: clip(description, 200), version };
}

const listTags = defineTool({
  name: "list_tags",
  title: "List tags",
  description:
    "List the tags of a project: its named task lists. Use it when you do not know which tag to work in. Go on with nextCursor.",
  mode: "standard",
  annotations: reads,
  input: { project, ...PageQuery },
  output: {
    ...placed,
    items: Type.Array(TagLine),
    nextCursor: Type.Union([Type.String(), Type.Null()]),
  },
  async run(call, { limit = 50, cursor, ...input }) {
    const where = await placeOf(call, input);
    const tags = await call.core.tags.list(call.ctx, where.project);
    // Their list has no pages of its own; the last tag that was shown says where to go on.
    const start = cursor === undefined ? 0 : tags.findIndex(({ id }) => id === cursor) + 1;
    if (cursor !== undefined && start === 0) {
      throw invalidInput(
        "/cursor",
        "The cursor was not made by this list; leave it out to start at the beginning.",
      );
    }
    const page = await pageThatFits(limit, async (most) => ({
      items: tags.slice(start, start + most).map(lineOf),
      end: start + most,
    }));
    const more = page.end < tags.length;
    return {
      text: `${page.items.length} of ${tags.length} tags in ${where.project}: ${page.items.map(({ name }) => name).join(", ")}`,
      content: {
        ...where,
        items: page.items,
        nextCursor: more ? (tags[page.end - 1]?.id ?? null) : null,
      },
    };
  },
});

const addTag = defineTool({
  name: "add_tag",
  title: "Add a tag",
  description: "Add an empty tag to a project, or with copyFromTag one with the same tasks as another.",
  mode: "all",
  annotations: adds,
  input: {
    ...changingProject,
    name: TagName,
    description: Type.Optional(Type.String({ maxLength: 10_000 })),
    copyFromTag: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  },
  output: { ...placed, added: TagLine },
  async run(given, { name, description, copyFromTag, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const values = description === undefined ? { name } : { name, description };
    const tag =
      copyFromTag === undefined
        ? await call.core.tags.create(call.ctx, where.project, values)
        : await call.core.tags.copy(call.ctx, where.project, copyFromTag, values);
    return { text: `Added tag ${name} to ${where.project}.`, content: added(tag) };
  },
});

const copyTag = defineTool({
  name: "copy_tag",
  title: "Copy a tag",
  description:
    "Make a new tag (targetName) with the tasks, subtasks and dependencies of another (sourceName). Claims, attempts and " +
    "comments stay behind.",
  mode: "all",
  annotations: adds,
  input: {
    ...changingProject,
    sourceName: TagName,
    targetName: TagName,
    description: Type.Optional(Type.String({ maxLength: 10_000 })),
  },
  output: { ...placed, added: TagLine },
  async run(given, { sourceName, targetName, description, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const values = description === undefined ? { name: targetName } : { name: targetName, description };
    const tag = await call.core.tags.copy(call.ctx, where.project, sourceName, values);
    return { text: `Copied tag ${sourceName} of ${where.project} to ${targetName}.`, content: added(tag) };
  },
});

function added(tag: Tag) {
  return { project: tag.project, tag: tag.name, added: lineOf(tag) };
}

const renameTag = defineTool({
  name: "rename_tag",
  title: "Rename a tag",
  description: "Give a tag (oldName) another name (newName). Its tasks keep their ids.",
  mode: "all",
  annotations: sets,
  input: { ...versionedProject, oldName: TagName, newName: TagName },
  output: { ...placed, renamed: TagLine },
  async run(given, { oldName, newName, ...input }) {
    const call = keyed(given, input, true);
    const where = await placeOf(call, input);
    const tag = await onPresent(input.version, async () =>
      call.core.tags.update(
        call.ctx,
        where.project,
        oldName,
        { name: newName },
        await versionOf(call, where.project, oldName, input.version),
      ),
    );
    if (call.state?.tags.get(tag.project) === oldName) call.state.tags.set(tag.project, newName);
    return {
      text: `Tag ${oldName} of ${where.project} is now ${newName}.`,
      content: { project: tag.project, tag: tag.name, renamed: lineOf(tag) },
    };
  },
});

const deleteTag = defineTool({
  name: "delete_tag",
  title: "Delete a tag",
  description:
    "Delete a tag with all its tasks, for good. Refused with claimed while somebody else holds one of them.",
  mode: "all",
  annotations: removes,
  input: {
    ...versionedProject,
    name: TagName,
    yes: Type.Optional(Type.Boolean({ description: "Ignored: a call is taken as meant." })),
  },
  output: { ...placed, deleted: Type.String() },
  async run(given, { name, yes: _y, ...input }) {
    const call = keyed(given, input, true);
    const where = await placeOf(call, input);
    await onPresent(input.version, async () =>
      call.core.tags.delete(
        call.ctx,
        where.project,
        name,
        await versionOf(call, where.project, name, input.version),
      ),
    );
    if (call.state?.tags.get(where.project) === name) call.state.tags.delete(where.project);
    return {
      text: `Deleted tag ${name} of ${where.project}.`,
      content: { project: where.project, tag: name, deleted: name },
    };
  },
});

async function versionOf({ core, ctx }: Call, key: string, name: string, given: number | undefined) {
  return given ?? (await core.tags.get(ctx, key, name)).version;
}

/**
 * Holds for the session and no longer, and never for another one of the same principal: several agents that work under
 * one token would switch each other's tag under their feet. Without a session nothing is kept, and the answer says so.
 */
const useTag = defineTool({
  name: "use_tag",
  title: "Choose the tag to work in",
  description:
    "Choose the tag of a project that your calls are about when they name none, until your session ends. Where kept is " +
    "false the server has no session to keep it in: pass the tag with every call. Every answer says which tag it is about.",
  mode: "all",
  annotations: sets,
  input: { project, name: TagName },
  output: {
    ...placed,
    kept: Type.Boolean(),
    pass: Type.Object({ tag: Type.String() }, { additionalProperties: false }),
  },
  async run(call, { name, ...input }) {
    const where = await placeOf(call, input);
    const tag = await call.core.tags.get(call.ctx, where.project, name);
    call.state?.tags.set(tag.project, tag.name);
    const kept = call.state !== null;
    const pass = `Pass "tag": ${JSON.stringify(tag.name)} with every call from now on`;
    return {
      text: kept
        ? `Calls on ${tag.project} without a tag are about ${tag.name} now, until this session ends.`
        : `${pass}; you have no session in which the server could keep it.`,
      content: { project: tag.project, tag: tag.name, kept, pass: { tag: tag.name } },
    };
  },
});

export const tagTools: Tool[] = [listTags, addTag, copyTag, renameTag, deleteTag, useTag];
