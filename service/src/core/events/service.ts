import type { Follower } from "../access/supervision.ts";
import type { Services } from "../change.ts";
import type { Context } from "../context.ts";
import { getProject } from "../locate.ts";
import type { Page } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import { createFollow, type Following, type FollowOptions } from "./follow.ts";
import type { AuditEntry, AuditQuery, EventList, EventQuery } from "./schema.ts";

export interface Events {
  /** The project's log behind `after`, oldest first. */
  list(ctx: Context, project: string, query: EventQuery): Promise<EventList>;
  /** The same log from `after` on, as it goes on. */
  follow(who: Follower, project: string, options: FollowOptions): Promise<Following>;
  /** Who did what in the organization, newest first; for admins. */
  audit(ctx: Context, query: AuditQuery): Promise<Page<AuditEntry>>;
}

export function createEvents(services: Services): Events {
  return {
    follow: createFollow(services),

    async list(ctx, key, query) {
      authorize(ctx, "project:read");
      const after = query.after ?? 0;
      const limit = query.limit ?? 50;
      const reader = services.storage.reader(ctx.organizationId);
      const project = await getProject(reader, key);
      await services.storage.transaction(ctx.organizationId, (tx) => tx.events.sequence(project.id));
      const rows = await reader.events.list(project.id, after, limit + 1);
      const items = rows.slice(0, limit);
      return { items, last: items.at(-1)?.sequence ?? after, more: rows.length > limit };
    },

    async audit(ctx, query) {
      authorize(ctx, "audit:read");
      const list = `audit ${query.type ?? ""} ${query.actor ?? ""} ${query.task ?? ""}`;
      const keyset = openPage(list, query, ["serial"]);
      const filter = {
        ...(query.type === undefined ? {} : { type: query.type }),
        ...(query.actor === undefined ? {} : { actorId: query.actor }),
        ...(query.task === undefined ? {} : { taskId: query.task }),
      };
      const rows = await services.storage.reader(ctx.organizationId).events.audit(filter, keyset);
      return closePage(list, keyset, rows, (row) => [row.id]);
    },
  };
}
