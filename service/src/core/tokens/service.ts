import { change, record, type Services } from "../change.ts";
import type { Context } from "../context.ts";
import { AppError, notFound } from "../errors.ts";
import { newId } from "../ids.ts";
import { getById } from "../locate.ts";
import type { Page, PageRequest } from "../page.ts";
import { closePage, openPage } from "../page.ts";
import { allows, authorize } from "../policy.ts";
import { newToken, sha256 } from "../secrets.ts";
import type { AccessToken, IssuedToken, NewAccessToken } from "./schema.ts";

export interface Tokens {
  /** An admin sees all of the organization's, everybody else their own. */
  list(ctx: Context, page: PageRequest): Promise<Page<AccessToken>>;
  get(ctx: Context, id: string): Promise<AccessToken>;
  /** The only answer that holds the token. Scopes are at most the caller's own. */
  create(ctx: Context, input: NewAccessToken): Promise<IssuedToken>;
  revoke(ctx: Context, id: string): Promise<void>;
}

/** An agent works; it does not administer. */
const agentScopes = ["read", "write", "claim"] as const;

export function createTokens(services: Services): Tokens {
  /** Somebody else's token is not there for whoever may not administer tokens. */
  function readable(ctx: Context, token: AccessToken): boolean {
    return token.owner.id === ctx.actor.id || allows(ctx, "token:any");
  }

  return {
    async list(ctx, page) {
      authorize(ctx, "token:own");
      const keyset = openPage("tokens", page, ["uuid"]);
      const owner = allows(ctx, "token:any") ? undefined : ctx.actor.id;
      const rows = await services.storage.reader(ctx.organizationId).tokens.list(keyset, owner);
      return closePage("tokens", keyset, rows, (row) => [row.id]);
    },

    async get(ctx, id) {
      authorize(ctx, "token:own");
      const token = await getById("token", id, services.storage.reader(ctx.organizationId).tokens.find);
      if (!readable(ctx, token)) throw notFound("token", id);
      return token;
    },

    async create(ctx, input) {
      authorize(ctx, input.agent === undefined ? "token:own" : "token:any");
      const scopes = input.scopes ?? (input.agent === undefined ? ctx.scopes : agentScopes);
      const excess = scopes.filter((scope) => !ctx.scopes.includes(scope));
      if (excess.length > 0) {
        throw new AppError(
          "forbidden",
          `A token can have at most your own scopes, and you lack ${excess.join(", ")}.`,
        );
      }
      // With the scopes that it comes to, or a repeat under a lesser token would be given the greater one's.
      const wanted = { operation: "token.create", input: { ...input, scopes }, secret: true };
      return change(services, ctx, wanted, async (tx) => {
        const token = newToken();
        const stored = await tx.tokens.insert({
          id: newId(),
          owner: input.agent === undefined ? { membershipId: ctx.membershipId } : { agentId: input.agent },
          name: input.name,
          hash: sha256(token),
          hint: token.slice(0, 8),
          scopes: [...scopes],
          expiresInDays: input.expiresInDays ?? 90,
        });
        if (stored === undefined) throw notFound("agent", input.agent ?? ctx.membershipId);
        await record(
          tx,
          ctx,
          "token.created",
          {},
          {
            token: stored.id,
            name: stored.name,
            owner: stored.owner,
            scopes: stored.scopes,
          },
        );
        return { ...stored, token };
      });
    },

    async revoke(ctx, id) {
      authorize(ctx, "token:own");
      await change(
        services,
        ctx,
        { operation: "token.revoke", input: { id }, restricts: true },
        async (tx) => {
          const token = await getById("token", id, tx.tokens.find);
          if (!readable(ctx, token)) throw notFound("token", id);
          const revoked = await tx.tokens.revoke(token.id);
          if (revoked === undefined) throw new AppError("conflict", "The token is revoked already.");
          await record(
            tx,
            ctx,
            "token.revoked",
            {},
            { token: token.id, name: token.name, owner: token.owner },
          );
        },
      );
    },
  };
}
