import { type Command, Option } from "commander";
import type { Claim, Task } from "../../core/index.ts";
import { runClaimed } from "../claim-exec.ts";
import { action, type Call, duration, examples, placed, positiveInteger } from "../command.ts";
import type { Host } from "../host.ts";
import { tagPath } from "../place.ts";
import { exitCodes, problem } from "../problem.ts";
import { taskDetails } from "../task-details.ts";

interface ClaimOptions {
  ttl?: number;
  mode: string;
  exec?: string;
  note?: string;
}

interface EndOptions {
  note?: string;
  fence?: number;
  ttl?: number;
}

export function addClaim(program: Command, host: Host): void {
  const claim = program
    .command("claim")
    .enablePositionalOptions()
    .description(
      `claim the next ready task, or the one named, so that nobody else works on it; exit code ${exitCodes.nothing} when nothing is ready`,
    )
    .argument("[id]", "the task; the next one by default")
    .option("--ttl <time>", "for how long, such as 90s, 15m or 8h; 15m by default", duration)
    .addOption(
      new Option("--mode <mode>", "how the next one is chosen")
        .choices(["compat", "smart"])
        .default("compat"),
    )
    .option(
      "--exec <command>",
      "run it with the task in TASK_ID, TASK_LOCAL_ID, TASK_TITLE and TASK_FILE, keep the claim alive meanwhile, and complete it on exit code 0, else fail it; ends with the command's own exit code",
    )
    .option("--note <text>", "the hand-over note that --exec leaves");
  placed(claim, "project", "tag");
  examples(
    claim,
    "claim",
    "claim 3 --ttl 1h",
    `claim complete 3 --note "Checked on three telephones."`,
    `claim fail 3 --note "The library lacks a form that takes files."`,
    `claim --exec 'my-agent --task "$TASK_FILE"'`,
  );
  claim.action(
    action<ClaimOptions, [string | undefined]>(host, async (call, options, id) => {
      const { out, client } = call;
      const ttlSeconds = options.ttl === undefined ? {} : { ttlSeconds: options.ttl };
      const taken =
        id === undefined ? await takeNext(call, options.mode, ttlSeconds) : await take(call, id, ttlSeconds);
      if (taken === null) {
        if (out.json) out.value(null);
        else {
          call.sayPlace(await call.place());
          out.say("Nothing is ready: every open task waits, is claimed, or is done.");
        }
        return exitCodes.nothing;
      }
      if (options.exec !== undefined) {
        const task = await client.get<Task>(`/tasks/${taken.task}`);
        return await runClaimed(call, taken, task, options.exec, options.note);
      }
      await say(call, taken);
      return exitCodes.ok;
    }),
  );

  ending(claim, host, "complete", "the task is done", false);
  ending(claim, host, "release", "give the task back in the status it had", false);
  ending(claim, host, "fail", "give the task back, saying what went wrong", true);

  const heartbeat = claim
    .command("heartbeat")
    .description("hold a claim for longer")
    .argument("<id>", "the task")
    .option("--ttl <time>", "for how long from now; as long as at first by default", duration)
    .option("--fence <number>", "refuse unless it is still this very claim", positiveInteger);
  placed(heartbeat, "project", "tag");
  heartbeat.action(
    action<EndOptions, [string]>(host, async (call, { fence, ttl }, id) => {
      const held = await heldClaim(call, id);
      const renewed = await call.client.request<Claim>("POST", `/claims/${held.id}/heartbeat`, {
        body: { fence: fence ?? held.fence, ...(ttl === undefined ? {} : { ttlSeconds: ttl }) },
      });
      if (call.out.json) call.out.value(renewed);
      else
        call.out.say(`The claim on ${call.out.oneLine(renewed.localId)} holds until ${renewed.expiresAt}.`);
      return undefined;
    }),
  );
}

const workday = 8 * 3600;

export function addStart(program: Command, host: Host): void {
  const start = program
    .command("start")
    .description("begin work on a task yourself: claim it for a working day, which sets it in-progress")
    .argument("<id>", "the task")
    .option("--ttl <time>", "for how long; 8h by default", duration, workday);
  placed(start, "project", "tag");
  examples(start, "start 3", `claim complete 3 --note "The form is written."     when it is done`);
  start.action(
    action<{ ttl: number }, [string]>(host, async (call, { ttl }, id) => {
      await say(call, await take(call, id, { ttlSeconds: ttl }));
      return undefined;
    }),
  );
}

async function takeNext(call: Call, mode: string, ttl: object): Promise<Claim | null> {
  const { project, tag } = await call.place();
  return await call.client.request("POST", tagPath(project, tag, "claims"), { body: { mode, ...ttl } });
}

async function take(call: Call, id: string, body: object): Promise<Claim> {
  return await call.client.request("POST", await call.task(id, "claims"), { body });
}

async function say(call: Call, claim: Claim): Promise<void> {
  const { out, client } = call;
  if (out.json) {
    out.value(claim);
    return;
  }
  call.sayPlace(claim);
  taskDetails(out, await client.get<Task>(`/tasks/${claim.task}`));
  const id = out.oneLine(claim.localId);
  out.say();
  out.say(`It is yours until ${claim.expiresAt}, under fence ${claim.fence}.`);
  out.say(
    out.style("dim", `Done? task-master-pro claim complete ${id} --note "…"   (or release, fail, heartbeat)`),
  );
}

function ending(claim: Command, host: Host, name: string, description: string, noteDemanded: boolean): void {
  const command = claim.command(name).description(description).argument("<id>", "the task");
  if (noteDemanded) command.requiredOption("--note <text>", "what went wrong, for whoever takes it next");
  else command.option("--note <text>", "the hand-over note, for whoever takes it next");
  command.option("--fence <number>", "refuse unless it is still this very claim", positiveInteger);
  placed(command, "project", "tag");
  command.action(
    action<EndOptions, [string]>(host, async (call, { note, fence }, id) => {
      const held = await heldClaim(call, id);
      const ended = await call.client.request<Claim>("POST", `/claims/${held.id}/${name}`, {
        body: { fence: fence ?? held.fence, ...(note === undefined ? {} : { note }) },
      });
      if (call.out.json) call.out.value(ended);
      else {
        call.sayPlace(ended);
        call.out.say(`The claim on ${call.out.oneLine(ended.localId)} is ${ended.outcome}.`);
      }
      return undefined;
    }),
  );
}

async function heldClaim(call: Call, id: string) {
  const { claim, localId } = await call.client.get<Task>(await call.task(id));
  if (claim !== null) return claim;
  throw problem(
    "claim_ended",
    `Task ${localId} has no live claim: it has ended or expired. Claim the task again.`,
  );
}
