import { randomBytes } from "node:crypto";

export interface JourneyStep {
  name: string;
  ok: boolean;
  ms: number;
  /** What was seen; of a failed step the request, its status and what the server said. */
  detail: string;
}

/** Why a journey ended before its end: no answer or none now, called off, a token that may not, or a server that is wrong. */
export type JourneyFailure = "unavailable" | "called off" | "forbidden" | "wrong";

export interface JourneyReport {
  ok: boolean;
  /** Of the step that failed; null when none did. */
  failure: JourneyFailure | null;
  /** In order, up to the first that failed; then the removal of what it left, if there was any. */
  steps: JourneyStep[];
  ms: number;
}

interface Answer {
  /** The method and the address, for messages. */
  request: string;
  status: number;
  body: unknown;
}

type Send = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

const requestTimeoutMs = 5_000;
const scopes = ["read", "write", "claim", "admin"];
/** What the journey does, as the project's log must tell it; other events may lie between. */
const story = ["project.created", "task.created", "task.created", "dependency.added", "claim.created"];

/** A step's failure that is told in a sentence; anything else is a defect of this program. */
class StepFailure extends Error {
  readonly kind: JourneyFailure;

  constructor(message: string, kind: JourneyFailure = "wrong") {
    super(message);
    this.kind = kind;
  }
}

/**
 * What a user does, over REST against a running server, in a project of its own that is gone afterwards, also when a
 * step fails. The token needs the role admin or owner, because only they may delete a project. Never throws for a
 * server that fails: that is a step that is not ok. `url` is the server's, without /api/v1; times are in milliseconds.
 */
export async function runJourney(
  url: string,
  token: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<JourneyReport> {
  const started = performance.now();
  const steps: JourneyStep[] = [];
  let failure: JourneyFailure | null = null;
  const run = async (name: string, work: () => Promise<string>): Promise<boolean> => {
    const begun = performance.now();
    const said = await work().then(
      (detail) => ({ ok: true, detail }),
      (error: unknown) => {
        failure ??= error instanceof StepFailure ? error.kind : "wrong";
        return { ok: false, detail: describe(error) };
      },
    );
    steps.push({ name, ok: said.ok, ms: since(begun), detail: said.detail });
    return said.ok;
  };
  const key = `SMOKE${randomBytes(3).toString("hex").toUpperCase()}`;
  const project = createProject(key);
  const send = createSender(url, token, signal);
  let ok = true;
  for (const [name, work] of journey(key, project, send)) {
    ok = await run(name, work);
    if (!ok) break;
  }
  if (project.mayExist) {
    // Under no signal: it is called off so that nothing goes on, and a project that stays would.
    await run("remove what was left", async () => await removeLeft(key, createSender(url, token)));
  }
  return { ok, failure: ok ? null : failure, steps, ms: since(started) };
}

interface ScratchProject {
  /** Also true while nobody knows, because the answer to its making did not come. */
  mayExist: boolean;
  path: string;
  tag: string;
}

function createProject(key: string): ScratchProject {
  return { mayExist: false, path: `/projects/${key}`, tag: `/projects/${key}/tags/master` };
}

type Step = [name: string, work: () => Promise<string>];

function journey(key: string, project: ScratchProject, send: Send): Step[] {
  // The first waits for the second, so that whoever ignores the dependency names the wrong one.
  const waiting = { id: "", localId: "", title: "Announce the smoke test" };
  const ready = { id: "", localId: "", title: "Run the smoke test" };
  const claim = { id: "", fence: 0 };

  const addTask = async (task: typeof ready) => {
    const answer = await send("POST", `${project.tag}/tasks`, { title: task.title });
    expectStatus(answer, 201);
    task.id = text(answer, "id");
    task.localId = text(answer, "localId");
  };
  const expectNext = async (wanted: typeof ready) => {
    const answer = await send("GET", `${project.tag}/next`);
    expectStatus(answer, 200);
    const named = at(answer.body, "task", "localId");
    if (named !== wanted.localId)
      throw wrong(answer, `it names ${show(named)} where ${wanted.localId} is the only task that is ready`);
    return `it is ${wanted.localId}, "${wanted.title}"`;
  };

  return [
    [
      "look who the token is",
      async () => {
        const answer = await send("GET", "/me");
        expectStatus(answer, 200);
        const role = text(answer, "role");
        const held = at(answer.body, "scopes");
        const missing = scopes.filter((scope) => !Array.isArray(held) || !held.includes(scope));
        // Known before anything is made: a member could make the project and then not take it away.
        if (role !== "admin" && role !== "owner")
          throw wrong(
            answer,
            `the token's role is ${role}, and only an admin or owner may delete a project`,
            "forbidden",
          );
        if (missing.length > 0)
          throw wrong(answer, `the token lacks the scopes ${missing.join(", ")}`, "forbidden");
        return `${show(at(answer.body, "actor", "name"))}, ${role}`;
      },
    ],
    [
      "create a project",
      async () => {
        project.mayExist = true;
        const answer = await send("POST", "/projects", {
          key,
          name: "Smoke test",
          description: "A scratch project of a smoke test, deleted at its end. Any that is old can go.",
        });
        if (answer.status >= 400 && answer.status < 500) project.mayExist = false;
        expectStatus(answer, 201);
        return key;
      },
    ],
    [
      "create two tasks",
      async () => {
        await addTask(waiting);
        await addTask(ready);
        return `${waiting.localId} and ${ready.localId}`;
      },
    ],
    [
      "make the first wait for the second",
      async () => {
        const path = `/tasks/${waiting.id}/dependencies/${ready.id}`;
        expectStatus(await send("PUT", path), 200);
        return `${waiting.localId} waits for ${ready.localId}`;
      },
    ],
    ["ask for the next task", async () => await expectNext(ready)],
    [
      "claim it",
      async () => {
        const answer = await send("POST", `${project.tag}/claims`, { ttlSeconds: 60 });
        expectStatus(answer, 201);
        claim.id = text(answer, "id");
        const fence = at(answer.body, "fence");
        if (typeof fence !== "number") throw wrong(answer, "the claim has no fence");
        claim.fence = fence;
        const claimed = at(answer.body, "localId");
        if (claimed !== ready.localId)
          throw wrong(answer, `it claims ${show(claimed)} and not ${ready.localId}, which is next`);
        return `${ready.localId}, with the fence ${fence}`;
      },
    ],
    [
      "complete the claim",
      async () => {
        const answer = await send("POST", `/claims/${claim.id}/complete`, {
          fence: claim.fence,
          note: "Done by the smoke test.",
        });
        expectStatus(answer, 200);
        const outcome = at(answer.body, "outcome");
        if (outcome !== "completed") throw wrong(answer, `the outcome is ${show(outcome)}, not "completed"`);
        return `${ready.localId} is done`;
      },
    ],
    ["ask for the next task again", async () => await expectNext(waiting)],
    [
      "read what happened",
      async () => {
        const answer = await send("GET", `${project.path}/events?after=0&limit=50`);
        expectStatus(answer, 200);
        const items = list(answer, at(answer.body, "items"));
        const numbered = items.every((event, index) => at(event, "sequence") === index + 1);
        if (!numbered) throw wrong(answer, "the events are not numbered from 1 without gaps");
        const wanted = [...story, "claim.completed"];
        for (const event of items) if (at(event, "type") === wanted[0]) wanted.shift();
        if (wanted.length > 0) throw wrong(answer, `the events lack ${wanted[0]} in its place`);
        return `${items.length} events in order`;
      },
    ],
    [
      "export",
      async () => {
        const answer = await send("GET", `${project.path}/export`);
        expectStatus(answer, 200);
        const tasks = list(answer, at(answer.body, "master", "tasks"));
        const found = tasks.map((task) => `${show(at(task, "title"))} ${show(at(task, "status"))}`).sort();
        const wanted = [`"${waiting.title}" "pending"`, `"${ready.title}" "done"`].sort();
        if (found.join() !== wanted.join())
          throw wrong(answer, `it holds ${found.join(", ") || "no task"} and not ${wanted.join(", ")}`);
        return "both tasks, as they are now";
      },
    ],
    [
      "delete the project",
      async () => {
        await remove(project.path, send);
        project.mayExist = false;
        return key;
      },
    ],
    [
      "see that it is gone",
      async () => {
        const answer = await send("GET", project.path);
        if (answer.status !== 404) project.mayExist = true;
        expectStatus(answer, 404);
        return "404";
      },
    ],
  ];
}

/** Under the version that it has now. */
async function remove(path: string, send: Send): Promise<void> {
  const found = await send("GET", path);
  expectStatus(found, 200);
  const version = at(found.body, "version");
  if (typeof version !== "number") throw wrong(found, "the project has no version");
  expectStatus(await send("DELETE", path, undefined, { "if-match": `"${version}"` }), 204);
}

async function removeLeft(key: string, send: Send): Promise<string> {
  const path = `/projects/${key}`;
  try {
    const found = await send("GET", path);
    if (found.status === 404) return "nothing was left";
    await remove(path, send);
    return `the project ${key}`;
  } catch (error) {
    throw new StepFailure(`The project ${key} may be left; delete it later. ${describe(error)}`);
  }
}

function createSender(url: string, token: string, signal?: AbortSignal): Send {
  const base = `${url.replace(/\/+$/, "")}/api/v1`;
  return async (method, path, body, headers = {}) => {
    const request = `${method} ${base}${path}`;
    const timeout = AbortSignal.timeout(requestTimeoutMs);
    try {
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // Another place would be another server than the one that is asked about.
        redirect: "manual",
        signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      });
      return { request, status: response.status, body: parse(await response.text()) };
    } catch (error) {
      if (timeout.aborted && signal?.aborted !== true)
        throw new StepFailure(
          `${request} was not answered within ${requestTimeoutMs / 1000} s.`,
          "unavailable",
        );
      if (signal?.aborted === true) throw new StepFailure(`${request} was called off.`, "called off");
      throw new StepFailure(`${request} got no answer: ${reason(error)}.`, "unavailable");
    }
  };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

function expectStatus(answer: Answer, status: number): void {
  if (answer.status === status) return;
  const problem = at(answer.body, "detail");
  const id = at(answer.body, "requestId");
  const said = typeof problem === "string" ? problem : `the body is ${excerpt(answer.body)}`;
  const trace = typeof id === "string" ? ` (request id ${id})` : "";
  throw new StepFailure(
    `${answer.request} answered ${answer.status}, not ${status}: ${said}${trace}`,
    failureOf(answer.status),
  );
}

/** A gateway in front of a server that is away says 502 or 504. */
function failureOf(status: number): JourneyFailure {
  if (status === 401 || status === 403) return "forbidden";
  return [429, 502, 503, 504].includes(status) ? "unavailable" : "wrong";
}

function wrong(answer: Answer, what: string, kind?: JourneyFailure): StepFailure {
  return new StepFailure(`${answer.request} answered ${answer.status}, but ${what}.`, kind);
}

function text(answer: Answer, member: string): string {
  const value = at(answer.body, member);
  if (typeof value === "string") return value;
  throw wrong(answer, `its body has no ${member}: ${excerpt(answer.body)}`);
}

function list(answer: Answer, value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw wrong(answer, `its body has no such list: ${excerpt(answer.body)}`);
}

/** The member of the member of … a JSON value; undefined where there is none. */
function at(value: unknown, ...path: string[]): unknown {
  let found = value;
  for (const member of path) {
    if (typeof found !== "object" || found === null) return undefined;
    found = (found as Record<string, unknown>)[member];
  }
  return found;
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

function excerpt(body: unknown): string {
  const said = body === "" ? "empty" : typeof body === "string" ? body : show(body);
  return said.length > 200 ? `${said.slice(0, 200)}…` : said;
}

/** `fetch` says only that it failed; the reason is its cause, and for a name with several addresses a list of them. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  if (error instanceof AggregateError && error.message === "")
    return error.errors.map((one: unknown) => reason(one)).join("; ");
  return error.message;
}

function describe(error: unknown): string {
  if (error instanceof StepFailure) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function since(begun: number): number {
  return Math.round((performance.now() - begun) * 10) / 10;
}
