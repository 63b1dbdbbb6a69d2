import { type Static, Type } from "typebox";
import { Claim, ClaimEnd, ClaimFailure, Heartbeat, NewNextClaim, Task } from "../../core/index.ts";
import { changing, Id, keyed, placed, placeOf, referenceIn } from "../place.ts";
import { type Answer, adds, type Call, defineTool, sets, type Tool } from "../tool.ts";
import { describe } from "./tasks.ts";

const claimId = Type.String({
  minLength: 1,
  maxLength: 100,
  description: "The claim's id, from claim_next.",
});
const { idempotencyKey } = changing;
const output = { ...placed, claim: Claim };

const claimNext = defineTool({
  name: "claim_next",
  title: "Claim the next task",
  description:
    "Take the next ready task for yourself, in one step: no two agents get the same. Give id to claim that task instead. " +
    "Remember claim.id and claim.fence: send a heartbeat before expiresAt while you work, and end with complete_claim, " +
    "fail_claim or release_claim. claim is null when nothing is ready.",
  mode: "core",
  annotations: adds,
  input: { ...changing, id: Type.Optional(Id), ...NewNextClaim.properties },
  output: {
    ...placed,
    claim: Type.Union([Claim, Type.Null()]),
    task: Type.Union([Task, Type.Null()]),
  },
  async run(given, { id, ttlSeconds, mode, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const life = ttlSeconds === undefined ? {} : { ttlSeconds };
    const claim =
      id === undefined
        ? await call.core.claims.claimNext(
            call.ctx,
            where.project,
            where.tag,
            mode === undefined ? life : { ...life, mode },
          )
        : await call.core.claims.claim(call.ctx, referenceIn(where, id), life);
    if (claim === null) {
      return {
        text: `Nothing is ready in tag ${where.tag} of ${where.project}.`,
        content: { ...where, claim: null, task: null },
      };
    }
    const task = await call.core.tasks.get(call.ctx, claim.task);
    return {
      text: `Yours until ${claim.expiresAt}, claim ${claim.id}, fence ${claim.fence}.\n${describe(task)}`,
      content: { project: claim.project, tag: claim.tag, claim, task },
    };
  },
});

const heartbeat = defineTool({
  name: "heartbeat",
  title: "Keep a claim",
  description:
    "Say that you still work on a claimed task, so that the claim does not expire. Send it well before expiresAt; when it " +
    "is refused, stop: the task is somebody else's by now.",
  mode: "core",
  annotations: sets,
  input: { claimId, idempotencyKey, ...Heartbeat.properties },
  output,
  run: (given, { claimId: id, idempotencyKey: key, ...input }) =>
    ended(given, key, (call) => call.core.claims.heartbeat(call.ctx, id, input), "is kept"),
});

const releaseClaim = defineTool({
  name: "release_claim",
  title: "Give a task back",
  description:
    "Give a claimed task back as it was, with a note for whoever takes it next. Nothing is wrong with it.",
  mode: "core",
  annotations: sets,
  input: { claimId, idempotencyKey, ...ClaimEnd.properties },
  output,
  run: (given, { claimId: id, idempotencyKey: key, ...input }) =>
    ended(given, key, (call) => call.core.claims.release(call.ctx, id, input), "is released"),
});

const completeClaim = defineTool({
  name: "complete_claim",
  title: "Finish a task",
  description:
    "Say that a claimed task is done. Check its testStrategy first, and leave in note what the next tasks should know.",
  mode: "core",
  annotations: sets,
  input: { claimId, idempotencyKey, ...ClaimEnd.properties },
  output,
  run: (given, { claimId: id, idempotencyKey: key, ...input }) =>
    ended(given, key, (call) => call.core.claims.complete(call.ctx, id, input), "is completed"),
});

const failClaim = defineTool({
  name: "fail_claim",
  title: "Give up on a task",
  description:
    "Give a claimed task back because you could not do it; the note must say what went wrong and what you tried.",
  mode: "core",
  annotations: sets,
  input: { claimId, idempotencyKey, ...ClaimFailure.properties },
  output,
  run: (given, { claimId: id, idempotencyKey: key, ...input }) =>
    ended(given, key, (call) => call.core.claims.fail(call.ctx, id, input), "has failed"),
});

async function ended(
  given: Call,
  key: string | undefined,
  work: (call: Call) => Promise<Claim>,
  what: string,
): Promise<Answer<Static<ReturnType<typeof Type.Object<typeof output>>>>> {
  const claim = await work(keyed(given, key === undefined ? {} : { idempotencyKey: key }));
  return {
    text: `The claim on task ${claim.localId} in tag ${claim.tag} of ${claim.project} ${what}.`,
    content: { project: claim.project, tag: claim.tag, claim },
  };
}

export const claimTools: Tool[] = [claimNext, heartbeat, releaseClaim, completeClaim, failClaim];
