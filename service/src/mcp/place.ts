import { type Static, Type } from "typebox";
import { AppError, invalidInput, maximumLimit, type Task } from "../core/index.ts";
import type { Call } from "./tool.ts";

const defaultTag = "master";

/** Where a call works. */
export const place = {
  project: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 32,
      description: "The project's key; needed where you see several.",
    }),
  ),
  tag: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: "The tag's name; use_tag's, or master, by default.",
    }),
  ),
};
/** What every answer says of it. */
export const placed = { project: Type.String(), tag: Type.String() };

export interface Place {
  project: string;
  tag: string;
}

/** The parameters of every change. */
export const changing = {
  ...place,
  idempotencyKey: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description: "The change happens once under this key.",
    }),
  ),
};
/** The parameters of a change of one thing that exists. */
export const versioned = {
  ...changing,
  version: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 2_147_483_647,
      description: "The version you have seen; refused when there is a newer one.",
    }),
  ),
};
export const fenced = {
  ...versioned,
  fence: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: "The fence of your claim on the task." }),
  ),
};
export const Id = Type.String({
  minLength: 1,
  maxLength: 500,
  description: "The task's id: 3, or 3.1 for a subtask; a UUID or KEY:tag:3 as well.",
});
export const Ids = Type.String({
  minLength: 1,
  maxLength: 5000,
  description: "One task's id (3, or 3.1 for a subtask), or several, separated by commas.",
});

/** Where a call works: where it says, else in the tag that its session chose with use_tag, else in master. */
export async function placeOf(call: Call, input: { project?: string; tag?: string }): Promise<Place> {
  const project = await projectOf(call, input.project);
  return { project, tag: input.tag ?? call.state?.tags.get(project) ?? defaultTag };
}

async function projectOf({ core, ctx }: Call, given: string | undefined): Promise<string> {
  if (given !== undefined) return given;
  const { items } = await core.projects.list(ctx, { limit: 50 });
  const [only, ...others] = items;
  if (only === undefined) {
    throw new AppError(
      "not_found",
      "There is no project yet; make one over REST, and import a file into it.",
    );
  }
  if (others.length > 0) {
    throw invalidInput("/project", `Name a project, by its key: ${items.map(({ key }) => key).join(", ")}.`);
  }
  return only.key;
}

/** A local id within the place; any other reference as it is. */
export function referenceIn({ project, tag }: Place, id: string): string {
  return /^[^:]+$/.test(id) && id.length < 36 ? `${project}:${tag}:${id}` : id;
}

export function splitIds(ids: string, pointer = "/id"): string[] {
  const list = [...new Set(ids.split(",").map((id) => id.trim()))].filter((id) => id !== "");
  if (list.length === 0 || list.length > maximumLimit) {
    throw invalidInput(pointer, `Name between 1 and ${maximumLimit} tasks.`);
  }
  return list;
}

/** The call, as the change that its Idempotency-Key stands for. */
export function keyed(
  call: Call,
  input: { idempotencyKey?: string; version?: number },
  needsVersion = false,
): Call {
  if (input.idempotencyKey === undefined) return call;
  if (needsVersion && input.version === undefined) {
    // A repeat would read another version, and so be another request.
    throw invalidInput("/version", "With an idempotencyKey name the version, too.");
  }
  return { ...call, ctx: { ...call.ctx, idempotencyKey: input.idempotencyKey } };
}

const attempts = 5;

/** Decides again on the state of now, where the caller has not named the version that it decided on. */
export async function onPresent<T>(given: number | undefined, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const moved = error instanceof AppError && error.code === "version_mismatch";
      if (!moved || given !== undefined || attempt === attempts) throw error;
    }
  }
}

export const Brief = Type.Object(
  {
    id: Type.String(),
    localId: Type.String(),
    title: Type.String(),
    status: Type.String(),
    priority: Type.Union([Type.String(), Type.Null()]),
    dependencies: Type.Array(Type.String()),
    version: Type.Integer(),
  },
  { additionalProperties: false },
);
export type Brief = Static<typeof Brief>;

export function brief({ id, localId, title, status, priority, dependencies, version }: Task): Brief {
  return { id, localId, title, status, priority, dependencies, version };
}

/** A task in one line. */
export function line(
  task: Pick<Brief, "localId" | "title" | "status" | "priority" | "dependencies">,
): string {
  const waits = task.dependencies.length === 0 ? "" : `, waits for ${task.dependencies.join(", ")}`;
  return `${task.localId} ${task.title} (${task.status}, ${task.priority ?? "medium"}${waits})`;
}
