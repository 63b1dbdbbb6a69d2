import { randomUUID } from "node:crypto";
import jwt from "@fastify/jwt";
import type { FastifyRequest } from "fastify";
import { createRemoteJWKSet, decodeJwt, errors as joseErrors, jwtVerify } from "jose";
import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import type { OidcConfig, SessionKey } from "../../config.ts";
import { AppError, type Caller, type Core, ScopeSchema, type SessionClaims, Uuid } from "../../core/index.ts";
import type { App } from "../http.ts";
import { Refusal } from "../problem.ts";
import type { FloodGuard } from "./limits.ts";

const issuer = "task-master-pro";
const audience = "task-master-pro-api";
const tokenType = "task-master-pro-session+jwt";
const clockToleranceSeconds = 5;

/** The members of a session token (RFC 7519). */
const SessionToken = Type.Object({
  iss: Type.Literal(issuer),
  aud: Type.Literal(audience),
  sub: Uuid,
  org: Uuid,
  tid: Type.Union([Uuid, Type.Null()]),
  scopes: Type.Array(ScopeSchema),
  iat: Type.Integer(),
  exp: Type.Integer(),
  jti: Type.String({ minLength: 1 }),
});
const sessionToken = Compile(SessionToken);

export interface Session {
  token: string;
  /** RFC 3339, UTC. */
  expiresAt: string;
}

export interface AuthenticationOptions {
  core: Core;
  sessionKey: SessionKey;
  sessionTtlSeconds: number;
  oidc: OidcConfig | null;
  guard: FloodGuard;
}

declare module "fastify" {
  interface FastifyInstance {
    signSession(claims: SessionClaims): Session;
  }
}

/** Every route that `app` gets from here on needs a good credential; request.caller says whose it was. */
export async function addAuthentication(app: App, options: AuthenticationOptions): Promise<void> {
  const { core, sessionKey, guard } = options;
  await app.register(jwt, {
    secret:
      sessionKey.algorithm === "HS256"
        ? sessionKey.secret
        : { private: sessionKey.privateKey, public: sessionKey.publicKey },
    sign: {
      algorithm: sessionKey.algorithm,
      iss: issuer,
      aud: audience,
      header: { alg: sessionKey.algorithm, typ: tokenType },
    },
    verify: {
      // Pinned: what the token's own header says must not choose how it is checked.
      algorithms: [sessionKey.algorithm],
      allowedIss: issuer,
      allowedAud: audience,
      checkTyp: tokenType,
      requiredClaims: ["iss", "aud", "exp", "iat", "sub", "jti"],
    },
  });

  app.decorate("signSession", (claims: SessionClaims) => {
    const issuedAt = Math.floor(Date.now() / 1000);
    const expires = issuedAt + options.sessionTtlSeconds;
    const token = app.jwt.sign({
      sub: claims.memberId,
      org: claims.organizationId,
      tid: claims.tokenId,
      scopes: [...claims.scopes],
      iat: issuedAt,
      exp: expires,
      jti: randomUUID(),
    });
    return { token, expiresAt: new Date(expires * 1000).toISOString() };
  });

  const fromOidc = options.oidc === null ? undefined : oidcReader(core, options.oidc);

  async function fromSession(token: string): Promise<Caller> {
    let payload: Static<typeof SessionToken>;
    try {
      const decoded: unknown = app.jwt.verify(token);
      if (!sessionToken.Check(decoded)) throw new Error("The members are not those of a session.");
      payload = decoded;
    } catch (error) {
      const expired = error instanceof Error && "code" in error && error.code === "FAST_JWT_EXPIRED";
      throw notGood(
        expired ? "The session has expired; open another one." : "The session token is not good.",
      );
    }
    const { org, sub, tid, scopes, exp } = payload;
    const caller = await core.access.fromSession({
      organizationId: org,
      memberId: sub,
      tokenId: tid,
      scopes,
    });
    return { ...caller, expiresAt: new Date(exp * 1000) };
  }

  async function callerFrom(token: string, request: FastifyRequest): Promise<Caller> {
    if (token.startsWith("tmp_")) return core.access.fromAccessToken(token);
    const claimed = issuerOf(token);
    if (claimed === issuer) return fromSession(token);
    if (fromOidc !== undefined && claimed === options.oidc?.issuer) return fromOidc(token, request);
    throw notGood(
      "The token is of no kind that this server takes: an access token, a session, or one of its issuer.",
    );
  }

  app.addHook("onRequest", async (request) => {
    const token = bearer(request);
    guard.check(request.ip, token);
    try {
      request.caller = await callerFrom(token, request);
      guard.succeeded(token);
    } catch (error) {
      const refused =
        (error instanceof AppError || error instanceof Refusal) && error.code === "unauthenticated";
      if (!refused) throw error;
      guard.failed(request.ip, token);
      throw error instanceof AppError ? notGood(error.message) : error;
    }
  });
}

/** Throws a Refusal without a credential: its absence is no guess, and costs no look into the database. */
function bearer(request: FastifyRequest): string {
  const header = request.headers.authorization;
  if (header === undefined) throw new Refusal("unauthenticated", "Send Authorization: Bearer and a token.");
  const token = /^Bearer +([A-Za-z0-9._~+/=-]{1,8192}) *$/i.exec(header)?.[1];
  if (token === undefined) throw notGood("Authorization must be the word Bearer, a space and a token.");
  return token;
}

function notGood(detail: string): Refusal {
  return new Refusal("unauthenticated", detail, {
    headers: { "www-authenticate": 'Bearer realm="task-master-pro", error="invalid_token"' },
  });
}

/** What the token says of its issuer: only to choose by which keys it is then checked. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function oidcReader(
  core: Core,
  oidc: OidcConfig,
): (token: string, request: FastifyRequest) => Promise<Caller> {
  const keys = createRemoteJWKSet(new URL(oidc.jwksUrl), { timeoutDuration: 3000, cooldownDuration: 10_000 });
  return async (token, request) => {
    const payload = await verified(token);
    if (typeof payload.sub !== "string" || payload.sub === "") throw notGood("The token names no subject.");
    const organization = request.headers["taskmaster-organization"];
    const caller = await core.access.fromOidc(
      {
        issuer: oidc.issuer,
        subject: payload.sub,
        email: typeof payload.email === "string" ? payload.email : null,
        emailVerified: payload.email_verified === true,
      },
      typeof organization === "string" ? organization : undefined,
    );
    return { ...caller, expiresAt: new Date(((payload.exp ?? 0) + clockToleranceSeconds) * 1000) };
  };

  async function verified(token: string) {
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: oidc.issuer,
        audience: oidc.audience,
        algorithms: [...oidc.algorithms],
        requiredClaims: ["exp", "sub"],
        clockTolerance: clockToleranceSeconds,
      });
      return payload;
    } catch (error) {
      if (error instanceof joseErrors.JWTExpired) throw notGood("The token has expired; sign in again.");
      if (isTokenFault(error)) throw notGood("The token is not good.");
      throw new AppError("unavailable", "The issuer's keys cannot be fetched now; try again.", {
        cause: error,
      });
    }
  }
}

/** Whether the token is to blame; otherwise its issuer's keys could not be had. */
function isTokenFault(error: unknown): boolean {
  return (
    error instanceof joseErrors.JWTClaimValidationFailed ||
    error instanceof joseErrors.JWTInvalid ||
    error instanceof joseErrors.JWSInvalid ||
    error instanceof joseErrors.JWSSignatureVerificationFailed ||
    error instanceof joseErrors.JOSEAlgNotAllowed ||
    error instanceof joseErrors.JOSENotSupported ||
    error instanceof joseErrors.JWKSNoMatchingKey ||
    error instanceof joseErrors.JWKSMultipleMatchingKeys
  );
}
