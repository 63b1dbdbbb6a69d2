import type { Actor } from "../../src/core/context.ts";
import { newId } from "../../src/core/ids.ts";
import type { NewEvent, Storage, TaskInsert, TaskRecord } from "../../src/core/storage.ts";

/** An organization with a project, a tag and what it takes to put tasks there, straight through the storage port. */
export interface World {
  organizationId: string;
  membershipId: string;
  owner: Actor;
  projectId: string;
  project: string;
  tagId: string;
  tag: string;
  addTask(values?: Partial<TaskInsert>): Promise<TaskRecord>;
  addTag(name: string): Promise<string>;
  /** `from` waits for `to`. */
  addDependency(from: string, to: string): Promise<void>;
  event(values?: Partial<NewEvent>): NewEvent;
}

export async function createWorld(storage: Storage): Promise<World> {
  const organizationId = newId();
  const { principal } = await storage.identity.createOrganization({
    organization: { id: organizationId, slug: `o-${organizationId}`, name: "Organization" },
    owner: { membershipId: newId(), userId: newId(), email: `${organizationId}@example.com`, name: "Owner" },
    event: newEvent({ type: "organization.created" }),
  });
  const reader = storage.reader(organizationId);
  const project = await reader.projects.insert({ id: newId(), key: "DEMO", name: "Demo", description: "" });

  const addTag = async (name: string) => {
    const tag = await reader.tags.insert({
      id: newId(),
      projectId: project.id,
      name,
      description: "",
      metadata: {},
      source: null,
      nextLocalNumber: 1,
    });
    return tag.id;
  };
  const tagId = await addTag("master");

  return {
    organizationId,
    membershipId: principal.membershipId,
    owner: principal.actor,
    projectId: project.id,
    project: "DEMO",
    tagId,
    tag: "master",
    addTag,

    async addTask(values = {}) {
      const id = values.id ?? newId();
      const parentId = values.parentId ?? null;
      const number =
        values.number !== undefined || values.segment !== undefined
          ? (values.number ?? null)
          : parentId === null
            ? await reader.tags.takeNumbers(values.tagId ?? tagId, 1)
            : await reader.tasks.takeSubtaskNumber(parentId);
      await reader.tasks.insert([
        taskInsert({
          ...values,
          id,
          parentId,
          number,
          segment: values.segment ?? String(number),
          projectId: project.id,
          tagId: values.tagId ?? tagId,
        }),
      ]);
      const task = await reader.tasks.find({ id });
      if (task === undefined) throw new Error("the task was not inserted");
      return task;
    },

    async addDependency(from, to) {
      const task = await reader.tasks.find({ id: from });
      if (task === undefined) throw new Error("no such task");
      const position = await reader.dependencies.nextPosition(from);
      await reader.dependencies.insert([
        { id: newId(), tagId: task.tagId, taskId: from, dependsOnId: to, position, raw: null, problem: null },
      ]);
    },

    event: (values = {}) => newEvent({ projectId: project.id, actor: principal.actor, ...values }),
  };
}

/** The plainest task, but for what is given. */
export function taskInsert(
  values: Partial<TaskInsert> & Pick<TaskInsert, "id" | "projectId" | "tagId" | "segment">,
): TaskInsert {
  return {
    parentId: null,
    number: null,
    rank: "a0",
    title: "Task",
    description: "",
    details: "",
    testStrategy: "",
    status: "pending",
    priority: null,
    assignee: null,
    effort: null,
    actualEffort: null,
    labels: [],
    complexity: null,
    metadata: {},
    extra: {},
    source: null,
    nextLocalNumber: 1,
    ...values,
  };
}

export function newEvent(values: Partial<NewEvent> = {}): NewEvent {
  return {
    type: "task.updated",
    projectId: null,
    taskId: null,
    actor: { kind: "user", id: newId(), name: "Someone" },
    requestId: "request",
    data: {},
    ...values,
  };
}

export interface Gate {
  opened: Promise<void>;
  open(): void;
}

/** What makes two transactions meet at a chosen step. */
export function createGate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** Whether the promise is still waiting after some time: how a test sees that a lock holds. */
export async function isWaiting(promise: Promise<unknown>, ms = 150): Promise<boolean> {
  const waiting = Symbol();
  const timeout = new Promise((resolve) => setTimeout(() => resolve(waiting), ms));
  return (await Promise.race([promise.catch(() => {}), timeout])) === waiting;
}
