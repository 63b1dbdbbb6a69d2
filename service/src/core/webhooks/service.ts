import {
  type Change,
  change,
  changesOf,
  record,
  type Services,
  staleWrite,
  versionMismatch,
} from "../change.ts";
import type { Context } from "../context.ts";
import { AppError, invalidInput, notFound } from "../errors.ts";
import { demandFlag } from "../flags/service.ts";
import { newId } from "../ids.ts";
import { getById, getProject } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { authorize } from "../policy.ts";
import type { Repositories, Transaction } from "../storage.ts";
import { type AddressRules, findUrlFault, publicOnly } from "./addresses.ts";
import { type Deliveries, disabledError, createDeliveries as openDeliveries } from "./deliver.ts";
import { dayOfRetries, type RetryPolicy } from "./retries.ts";
import type {
  Delivery,
  DeliveryQuery,
  IssuedWebhook,
  NewWebhook,
  Replayed,
  Webhook,
  WebhookPatch,
} from "./schema.ts";
import { newWebhookSecret } from "./signature.ts";

export interface WebhookOptions {
  addresses?: AddressRules;
  retries?: RetryPolicy;
}

export interface Webhooks extends Deliveries {
  list(ctx: Context, page: PageRequest): Promise<Page<Webhook>>;
  get(ctx: Context, id: string): Promise<Webhook>;
  create(ctx: Context, input: NewWebhook): Promise<IssuedWebhook>;
  update(ctx: Context, id: string, patch: WebhookPatch, version: number): Promise<Webhook>;
  /** With its deliveries, also those that wait to be sent. */
  delete(ctx: Context, id: string, version: number): Promise<void>;
  /** A new secret; messages are signed with the one before as well, for a day. */
  rotateSecret(ctx: Context, id: string): Promise<IssuedWebhook>;
  /** Sends a message that is of no event. */
  test(ctx: Context, id: string): Promise<Delivery>;
  listDeliveries(ctx: Context, id: string, query: DeliveryQuery): Promise<Page<Delivery>>;
  getDelivery(ctx: Context, id: string): Promise<Delivery>;
  /** Sends again, under the same id, what has arrived or been given up. */
  replay(ctx: Context, deliveryId: string): Promise<Delivery>;
  /** The oldest ten thousand dead letters, so that it takes no longer than a request may. */
  replayDead(ctx: Context, id: string): Promise<Replayed>;
}

/** Each event is written once more a webhook that wants it. */
const maximumWebhooks = 100;
const overlapHours = 24;

export function createWebhooks(services: Services, options: WebhookOptions): Webhooks {
  const addresses = options.addresses ?? publicOnly;
  const deliveries = openDeliveries(services, options.retries ?? dayOfRetries);

  /** A change that would have something sent; only while the feature is on. Deleting is always possible. */
  async function changeSending<T>(
    ctx: Context,
    what: Change,
    work: (tx: Transaction) => Promise<T>,
  ): Promise<T> {
    authorize(ctx, "webhook:write");
    return change(services, ctx, what, async (tx) => {
      await demandFlag(services, ctx, "webhooks", tx);
      return work(tx);
    });
  }

  function checkUrl(url: string): string {
    const fault = findUrlFault(url, addresses);
    if (fault !== undefined) throw invalidInput("/url", fault);
    // As the parser has read it, so that what is shown is what is dialled.
    return new URL(url).href;
  }
  return {
    ...deliveries,

    async list(ctx, page) {
      authorize(ctx, "webhook:read");
      const keyset = openPage("webhooks", page, ["uuid"]);
      const rows = await services.storage.reader(ctx.organizationId).webhooks.list(keyset);
      return closePage("webhooks", keyset, rows, (row) => [row.id]);
    },

    async get(ctx, id) {
      authorize(ctx, "webhook:read");
      return getById("webhook", id, services.storage.reader(ctx.organizationId).webhooks.find);
    },

    async create(ctx, input) {
      authorize(ctx, "webhook:write");
      const url = checkUrl(input.url);
      return changeSending(ctx, { operation: "webhook.create", input, secret: true }, async (tx) => {
        const projectId = input.project === undefined ? null : await projectOf(tx, input.project);
        if ((await tx.webhooks.count()) >= maximumWebhooks) {
          throw new AppError(
            "conflict",
            `The organization has ${maximumWebhooks} webhooks, the most it can have; delete one.`,
          );
        }
        const secret = newWebhookSecret();
        const webhook = await tx.webhooks.insert({
          id: newId(),
          projectId,
          url,
          description: input.description ?? "",
          events: input.events ?? ["*"],
          secret: await services.sealer.seal(secret),
        });
        await record(tx, ctx, "webhook.created", {}, { webhook: webhook.id, url: originOf(url) });
        return { ...webhook, secret };
      });
    },

    async update(ctx, id, input, version) {
      authorize(ctx, "webhook:write");
      const patch = input.url === undefined ? input : { ...input, url: checkUrl(input.url) };
      return changeSending(
        ctx,
        { operation: "webhook.update", input: { id, patch, version } },
        async (tx) => {
          const before = await getById("webhook", id, tx.webhooks.find);
          if (before.version !== version) throw versionMismatch("webhook", version, before.version);
          const changes = changesOf(before, patch);
          if (Object.keys(changes).length === 0) return before;
          const after = await tx.webhooks.update(before.id, patch, version);
          if (after === undefined) throw await staleWrite("webhook", before.id, version, tx.webhooks.find);
          if (changes.disabled?.[1] === true) await tx.deliveries.giveUp(before.id, disabledError);
          // A URL's path and query often are a password; of those the log says only that they changed.
          if (changes.url !== undefined) changes.url = [originOf(before.url), originOf(after.url)];
          await record(tx, ctx, "webhook.updated", {}, { webhook: before.id, changes });
          return after;
        },
      );
    },

    async delete(ctx, id, version) {
      authorize(ctx, "webhook:write");
      await change(services, ctx, { operation: "webhook.delete", input: { id, version } }, async (tx) => {
        const before = await getById("webhook", id, tx.webhooks.find);
        if (!(await tx.webhooks.delete(before.id, version)))
          throw await staleWrite("webhook", before.id, version, tx.webhooks.find);
        await record(tx, ctx, "webhook.deleted", {}, { webhook: before.id, url: originOf(before.url) });
      });
    },

    async rotateSecret(ctx, id) {
      return changeSending(ctx, { operation: "webhook.rotate", input: { id }, secret: true }, async (tx) => {
        const before = await getById("webhook", id, tx.webhooks.find);
        const secret = newWebhookSecret();
        const sealed = await services.sealer.seal(secret);
        const webhook = await tx.webhooks.rotate(before.id, sealed, overlapHours);
        if (webhook === undefined) throw notFound("webhook", id);
        await record(tx, ctx, "webhook.rotated", {}, { webhook: webhook.id });
        return { ...webhook, secret };
      });
    },

    async test(ctx, id) {
      return changeSending(ctx, { operation: "webhook.test", input: { id } }, async (tx) => {
        const webhook = await getEnabled(tx, id);
        return tx.deliveries.insert({
          id: newId(),
          webhookId: webhook.id,
          type: "webhook.test",
          data: {
            id: null,
            organization: ctx.organizationId,
            project: webhook.project,
            task: null,
            actor: ctx.actor,
            requestId: ctx.requestId,
            data: { webhook: webhook.id },
          },
        });
      });
    },

    async listDeliveries(ctx, id, query) {
      authorize(ctx, "webhook:read");
      const reader = services.storage.reader(ctx.organizationId);
      const webhook = await getById("webhook", id, reader.webhooks.find);
      const list = `deliveries ${webhook.id} ${query.state ?? ""}`;
      const keyset = openPage(list, query, ["uuid"]);
      const rows = await reader.deliveries.list(webhook.id, query.state, keyset);
      return closePage(list, keyset, rows, (row) => [row.id]);
    },

    async getDelivery(ctx, id) {
      authorize(ctx, "webhook:read");
      return getById("delivery", id, services.storage.reader(ctx.organizationId).deliveries.find);
    },

    async replay(ctx, deliveryId) {
      return changeSending(ctx, { operation: "delivery.replay", input: { id: deliveryId } }, async (tx) => {
        const before = await getById("delivery", deliveryId, tx.deliveries.find);
        await getEnabled(tx, before.webhook);
        const after = await tx.deliveries.replay(before.id);
        if (after === undefined) {
          throw new AppError("conflict", "The delivery is waiting to be sent already; it needs no replay.");
        }
        return after;
      });
    },

    async replayDead(ctx, id) {
      return changeSending(ctx, { operation: "webhook.replay", input: { id } }, async (tx) => {
        const webhook = await getEnabled(tx, id);
        return { replayed: await tx.deliveries.replayDead(webhook.id) };
      });
    },
  };
}

async function projectOf(tx: Repositories, key: string): Promise<string> {
  try {
    return (await getProject(tx, key)).id;
  } catch (error) {
    if (error instanceof AppError && error.code === "not_found")
      throw invalidInput("/project", error.message);
    throw error;
  }
}

async function getEnabled(tx: Repositories, id: string): Promise<Webhook> {
  const webhook = await getById("webhook", id, tx.webhooks.find);
  if (webhook.disabled) {
    throw new AppError("conflict", 'The webhook is disabled; enable it first, with {"disabled":false}.');
  }
  return webhook;
}

function originOf(url: string): string {
  return new URL(url).origin;
}
