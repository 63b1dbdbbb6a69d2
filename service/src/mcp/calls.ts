import type { Core, Follower } from "../core/index.ts";
import type { Extra, Incoming } from "./features.ts";
import type { Call } from "./tool.ts";

/** Makes, of a request to the server, the call that tools, prompts and resources work with. */
export type Calls = (incoming: Incoming) => Promise<Call>;

export function callsOf({
  core,
  caller,
}: {
  core: Core;
  caller(extra: Extra): Promise<Follower> | Follower;
}): Calls {
  return async ({ extra, server, state }) => ({
    core,
    ctx: await caller(extra),
    state,
    signal: extra.signal,
    report: reporterOf(extra),
    async warn(text) {
      // Without a session there is no stream to send it on, and no level that the client has asked for.
      if (state !== null) await server.sendLoggingMessage({ level: "warning", data: text }, extra.sessionId);
    },
  });
}

/** Tells how far a call is to a client that gave a token to be told by; each call of it is further than the last. */
function reporterOf({ _meta, sendNotification }: Extra): Call["report"] {
  const token = _meta?.progressToken;
  let progress = 0;
  return async (message) => {
    if (token === undefined) return;
    progress++;
    await sendNotification({
      method: "notifications/progress",
      params: { progressToken: token, progress, message },
    });
  };
}
