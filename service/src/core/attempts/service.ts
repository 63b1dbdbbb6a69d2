import type { Services } from "../change.ts";
import type { Context } from "../context.ts";
import { getTask } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import type { Attempt } from "./schema.ts";

export interface Attempts {
  list(ctx: Context, task: string, page: PageRequest): Promise<Page<Attempt>>;
}

export function createAttempts(services: Services): Attempts {
  return {
    async list(ctx, reference, page) {
      authorize(ctx, "project:read");
      const tx = services.storage.reader(ctx.organizationId);
      const task = await getTask(tx, reference);
      const keyset = openPage(`attempts ${task.id}`, page, ["integer"]);
      const rows = await tx.attempts.list(task.id, keyset);
      return closePage(`attempts ${task.id}`, keyset, rows, (row) => [row.number]);
    },
  };
}
