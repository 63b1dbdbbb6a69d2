import { change, changesOf, record, type Services, staleWrite, versionMismatch } from "../change.ts";
import type { Actor, Context } from "../context.ts";
import { AppError, invalidInput, notFound } from "../errors.ts";
import { newId } from "../ids.ts";
import { getById } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import { newSecret, sha256, verifyHmac } from "../secrets.ts";
import type { ReceiverOwner } from "../storage.ts";
import { apply } from "./apply.ts";
import { readDelivery, readEvents } from "./github.ts";
import {
  defaultStatuses,
  type IssuedReceiver,
  type NewReceiver,
  type Receipt,
  type Receiver,
  type ReceiverPatch,
  type Statuses,
} from "./schema.ts";

/** What came in over HTTP, unread; a header that was not there is undefined. */
export interface Incoming {
  /** X-GitHub-Event. */
  event: string | undefined;
  /** X-GitHub-Delivery. */
  delivery: string | undefined;
  /** X-Hub-Signature-256. */
  signature: string | undefined;
  /** The body exactly as it came: the signature is over these bytes. */
  body: Uint8Array;
  requestId: string;
}

/** What GitHub tells of linked issues and pull requests. A receiver is an address with a secret. */
export interface Receivers {
  list(ctx: Context, page: PageRequest): Promise<Page<Receiver>>;
  get(ctx: Context, id: string): Promise<Receiver>;
  /** The answer is one of the two that hold the secret. */
  create(ctx: Context, input: NewReceiver): Promise<IssuedReceiver>;
  update(ctx: Context, id: string, patch: ReceiverPatch, version: number): Promise<Receiver>;
  delete(ctx: Context, id: string, version: number): Promise<void>;
  /** A new secret; the one before is good for a day more, in which the new one is entered at GitHub. */
  rotate(ctx: Context, id: string): Promise<IssuedReceiver>;
  /**
   * Takes a delivery; null for a ping. Throws unauthenticated, in the same words whatever is wrong, before anything of
   * the body is read.
   */
  receive(id: string, incoming: Incoming): Promise<Receipt | null>;
}

const overlapHours = 24;

export function createReceivers(services: Services): Receivers {
  return {
    async list(ctx, page) {
      authorize(ctx, "receiver:write");
      const keyset = openPage("receivers", page, ["uuid"]);
      const rows = await services.storage.reader(ctx.organizationId).receivers.list(keyset);
      return closePage("receivers", keyset, rows, (row) => [row.id]);
    },

    async get(ctx, id) {
      authorize(ctx, "receiver:write");
      return getById("receiver", id, services.storage.reader(ctx.organizationId).receivers.find);
    },

    async create(ctx, input) {
      authorize(ctx, "receiver:write");
      return change(services, ctx, { operation: "receiver.create", input, secret: true }, async (tx) => {
        const secret = newSecret();
        const receiver = await tx.receivers.insert({
          id: newId(),
          name: input.name,
          statuses: merge(defaultStatuses, input.statuses),
          secret: await services.sealer.seal(secret),
        });
        const { id, name, statuses } = receiver;
        await record(tx, ctx, "receiver.created", {}, { receiver: id, name, statuses });
        return { ...receiver, secret };
      });
    },

    async update(ctx, id, patch, version) {
      authorize(ctx, "receiver:write");
      const wanted = { operation: "receiver.update", input: { id, patch, version } };
      return change(services, ctx, wanted, async (tx) => {
        const before = await getById("receiver", id, tx.receivers.find);
        if (before.version !== version) throw versionMismatch("receiver", version, before.version);
        const statuses = merge(before.statuses, patch.statuses);
        const values = { name: patch.name ?? before.name, statuses };
        const changes = changesOf(before, values);
        if (Object.keys(changes).length === 0) return before;
        const after = await tx.receivers.update(before.id, values, version);
        if (after === undefined) throw await staleWrite("receiver", before.id, version, tx.receivers.find);
        await record(tx, ctx, "receiver.updated", {}, { receiver: before.id, changes });
        return after;
      });
    },

    async delete(ctx, id, version) {
      authorize(ctx, "receiver:write");
      await change(services, ctx, { operation: "receiver.delete", input: { id, version } }, async (tx) => {
        const before = await getById("receiver", id, tx.receivers.find);
        if (!(await tx.receivers.delete(before.id, version)))
          throw await staleWrite("receiver", before.id, version, tx.receivers.find);
        await record(tx, ctx, "receiver.deleted", {}, { receiver: before.id, name: before.name });
      });
    },

    async rotate(ctx, id) {
      authorize(ctx, "receiver:write");
      const wanted = { operation: "receiver.rotate", input: { id }, secret: true };
      return change(services, ctx, wanted, async (tx) => {
        const before = await getById("receiver", id, tx.receivers.find);
        const secret = newSecret();
        const after = await tx.receivers.rotate(before.id, await services.sealer.seal(secret), overlapHours);
        if (after === undefined) throw notFound("receiver", id);
        await record(tx, ctx, "receiver.rotated", {}, { receiver: before.id, name: before.name });
        return { ...after, secret };
      });
    },

    async receive(id, incoming) {
      const receiver = await authenticate(services, id, incoming);
      const { event, delivery, requestId } = incoming;
      if (event === undefined || event === "" || delivery === undefined || delivery === "") {
        throw invalidInput(
          "",
          "X-GitHub-Event and X-GitHub-Delivery are missing; only GitHub's deliveries are taken.",
        );
      }
      if (event === "ping") return null;
      if (!readEvents.includes(event))
        return ignored(`Only the events ${readEvents.join(" and ")} are read.`);
      const text = decode(incoming.body);
      const told = readDelivery(event, text);
      if (typeof told === "string") return ignored(told);
      if (receiver.statuses[told.trigger] === null) {
        return ignored(`The receiver leaves tasks alone for ${told.trigger}.`);
      }
      const ctx = { actor: actorOf(receiver), requestId };
      const digest = sha256(text);
      const tasks = await services.storage.transaction(receiver.organizationId, (tx) =>
        apply(tx, ctx, receiver.statuses, {
          receiverId: receiver.id,
          id: delivery.slice(0, 100),
          digest,
          told,
        }),
      );
      if (tasks.length === 0) return ignored("No task links to it.");
      return { outcome: "applied", reason: null, tasks };
    },
  };
}

/**
 * The receiver whose secret the body was signed with (HMAC-SHA-256, https://docs.github.com/webhooks/using-webhooks/
 * validating-webhook-deliveries).
 */
async function authenticate(services: Services, id: string, incoming: Incoming): Promise<ReceiverOwner> {
  const receiver = await services.storage.identity.findReceiver(id);
  const signature = /^sha256=([0-9a-f]{64})$/.exec(incoming.signature ?? "")?.[1];
  if (receiver !== undefined && signature !== undefined) {
    for (const sealed of receiver.secrets) {
      if (await verifyHmac(await unseal(services, sealed), incoming.body, signature)) return receiver;
    }
  }
  throw new AppError(
    "unauthenticated",
    "There is no receiver at this address whose secret this delivery was signed with, in X-Hub-Signature-256.",
  );
}

async function unseal({ sealer }: Services, sealed: string): Promise<string> {
  try {
    return await sealer.open(sealed);
  } catch (error) {
    // Sealed under another secret of the server's: the delivery may be good, and its sender cannot mend it.
    throw new AppError(
      "unavailable",
      "The receiver's secret cannot be read; rotate it, and enter the new one.",
      {
        cause: error,
      },
    );
  }
}

function decode(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw invalidInput("", "The body is not UTF-8 text.");
  }
}

function actorOf({ id, name }: ReceiverOwner): Actor {
  return { kind: "system", id, name: `GitHub (${name})` };
}

function ignored(reason: string): Receipt {
  return { outcome: "ignored", reason, tasks: [] };
}

function merge(base: Statuses, patch: Partial<Statuses> | undefined): Statuses {
  return { ...base, ...patch };
}
