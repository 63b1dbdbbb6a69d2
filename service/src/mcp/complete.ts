import { AppError, maximumLimit, statuses } from "../core/index.ts";
import { placeOf } from "./place.ts";
import type { Call } from "./tool.ts";

/** The values that a place's parts may have, as far as the caller may see them. */
export async function completePlace(
  call: Call,
  argument: string,
  others: { project?: string; tag?: string },
): Promise<string[]> {
  const { core, ctx } = call;
  if (argument === "status") return [...statuses];
  if (argument === "project") {
    const { items } = await core.projects.list(ctx, { limit: maximumLimit });
    return items.map(({ key }) => key);
  }
  try {
    const { project, tag } = await placeOf(call, others);
    if (argument === "tag") return (await core.tags.list(ctx, project)).map(({ name }) => name);
    const { items } = await core.tasks.list(ctx, project, tag, { limit: maximumLimit });
    return items.map(({ localId }) => localId).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  } catch (error) {
    // Somebody who is still typing has not named a project that there is; nothing is to be offered yet.
    if (error instanceof AppError && ["not_found", "invalid_input"].includes(error.code)) return [];
    throw error;
  }
}
