import { change, record, type Services } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError, invalidInput, notFound } from "../errors.ts";
import { newId } from "../ids.ts";
import { getById, getTask } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import type { LinkRecord, Repositories } from "../storage.ts";
import type { Link, LinkQuery, NewLink } from "./schema.ts";
import { readTarget, type Target } from "./url.ts";

/** What a task stands for in the trackers of others. `task` is everywhere a UUID or KEY:tag:localId. */
export interface Links {
  list(ctx: Context, task: string, page: PageRequest): Promise<Page<Link>>;
  get(ctx: Context, task: string, id: string): Promise<Link>;
  /** Refused with already_exists when the task has a link to the same thing, and with conflict when it has too many. */
  add(ctx: Context, task: string, input: NewLink): Promise<Link>;
  remove(ctx: Context, task: string, id: string): Promise<void>;
  /** All of the organization's links to what the address names, in any of its forms. */
  search(ctx: Context, query: LinkQuery): Promise<Page<Link>>;
}

/** More than a task that is one piece of work has. */
const maximumLinks = 50;

export function createLinks(services: Services): Links {
  async function getLink(tx: Repositories, reference: string, id: string): Promise<LinkRecord> {
    const task = await getTask(tx, reference);
    const link = await getById("link", id, tx.links.find);
    if (link.task !== task.id) throw notFound("link", id);
    return link;
  }

  return {
    async list(ctx, reference, page) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const task = await getTask(tx, reference);
      const keyset = openPage(`links ${task.id}`, page, ["uuid"]);
      return pageOf(`links ${task.id}`, keyset, await tx.links.list({ taskId: task.id }, keyset));
    },

    async get(ctx, reference, id) {
      authorize(ctx, "project:read");
      return toLink(await getLink(services.storage.reader(ctx.organizationId), reference, id));
    },

    async add(ctx, reference, input) {
      authorize(ctx, "task:write");
      return change(services, ctx, { operation: "link.add", input: { reference, input } }, async (tx) => {
        const target = getTarget(input.url);
        const { id: taskId } = await getTask(tx, reference);
        // Of two who add at once the second counts what the first has added.
        await tx.tasks.lock([taskId]);
        const there = await tx.links.list({ taskId }, { limit: maximumLinks, after: undefined });
        const same = there.find((link) => link.url === target.url);
        if (same !== undefined) {
          throw new AppError("already_exists", `The task has a link to ${same.key} already.`, {
            details: { link: same.id },
          });
        }
        if (there.length >= maximumLinks) {
          throw new AppError(
            "conflict",
            `A task has at most ${maximumLinks} links; take one away, or divide the task.`,
          );
        }
        const link = await tx.links.insert({ id: newId(), taskId, ...target, title: input.title ?? null });
        await record(tx, ctx, "link.added", of(link), toldOf(link));
        return toLink(link);
      });
    },

    async remove(ctx, reference, id) {
      authorize(ctx, "task:write");
      await change(services, ctx, { operation: "link.remove", input: { reference, id } }, async (tx) => {
        const link = await getLink(tx, reference, id);
        if (!(await tx.links.delete(link.id))) throw notFound("link", id);
        await record(tx, ctx, "link.removed", of(link), toldOf(link));
      });
    },

    async search(ctx, query) {
      authorize(ctx, "project:read");
      const { url } = getTarget(query.url);
      const tx = services.storage.reader(ctx.organizationId);
      const keyset = openPage(`links to ${url}`, query, ["uuid"]);
      return pageOf(`links to ${url}`, keyset, await tx.links.list({ url }, keyset));
    },
  };
}

function pageOf(list: string, keyset: ReturnType<typeof openPage>, rows: LinkRecord[]): Page<Link> {
  const { items, nextCursor } = closePage(list, keyset, rows, (row) => [row.id]);
  return { items: items.map(toLink), nextCursor };
}

function getTarget(url: string): Target {
  const target = readTarget(url);
  if (target !== undefined) return target;
  throw invalidInput(
    "/url",
    "The address names no issue, pull request or merge request that can be linked to. It is http or https, without a user or " +
      "password, and has the form of GitHub (…/owner/repo/issues/12, …/pull/12), GitLab (…/group/project/-/issues/12, " +
      "…/-/merge_requests/12), Jira (…/browse/ABC-12) or Linear (https://linear.app/team/issue/ABC-12).",
  );
}

function of(link: LinkRecord): { projectId: string; taskId: string } {
  return { projectId: link.projectId, taskId: link.task };
}

function toldOf({ id, url, provider, kind, key, title }: LinkRecord) {
  return { link: id, url, provider, kind, key, title };
}

function toLink({ projectId: _p, told: _t, ...link }: LinkRecord): Link {
  return link;
}
