import { resolve } from "node:path";
import type { Command } from "commander";
import type { Project } from "../../core/index.ts";
import { createClient } from "../client.ts";
import { type CommonOptions, examples, openOutput } from "../command.ts";
import { readInput, readText } from "../files.ts";
import type { Host } from "../host.ts";
import { problem } from "../problem.ts";
import { getProfile, type Profile, readProfiles, writeProfiles } from "../profiles.ts";
import { askSecret } from "../secret.ts";
import { createHttpTransport, isClearText, readServer } from "../transport.ts";

interface LoginOptions extends CommonOptions {
  tokenFile?: string;
  list?: boolean;
}

interface Me {
  actor: { name: string; kind: string };
  role: string;
  scopes: string[];
}

export function addLogin(program: Command, host: Host): void {
  const login = program
    .command("login")
    .description("keep a server and a token for it as a profile, and work there from now on")
    .argument("[url]", "the server, such as https://tasks.example.com")
    .option(
      "--token-file <path>",
      "read the token from a file; else it is asked for, or read from standard input",
    )
    .option("--profile <name>", "the profile's name; the server's host by default")
    .option("--project <key>", "the project to work in by default")
    .option("-t, --tag <name>", "the tag to work in by default")
    .option("--list", "show the profiles instead, without their tokens")
    .option("--json", "answer as JSON")
    .option("--no-color", "without colours; NO_COLOR says the same");
  examples(
    login,
    "login https://tasks.example.com",
    "login http://127.0.0.1:3000 --profile laptop --token-file token.txt",
    "login --list",
    "list --profile laptop",
  );
  login.action(async (url: string | undefined, options: LoginOptions) => {
    if (options.list === true) await list(host, options);
    else if (url === undefined) throw problem("usage", "Say where, such as: login https://tasks.example.com");
    else await logIn(host, readServer(url), options);
  });

  program
    .command("logout")
    .description("forget a profile and its token; the token itself stays good until it is revoked")
    .argument("[name]", "the profile; the one in use by default")
    .action(async (given: string | undefined) => {
      const { directory } = host.config;
      const all = await readProfiles(directory);
      const name = given ?? all.current;
      if (name === null) throw problem("usage", "You are not logged in anywhere.");
      getProfile(all, name);
      const { [name]: _, ...profiles } = all.profiles;
      await writeProfiles(directory, { current: all.current === name ? null : all.current, profiles });
      host.stdout.write(`Forgot ${name}.\n`);
    });

  const use = program
    .command("use")
    .description("choose the project, tag or profile that commands work in from now on")
    .argument("[project]", "the project's key")
    .option("-t, --tag <name>", "the tag")
    .option("--profile <name>", "the profile");
  examples(use, "use DEMO", "use DEMO --tag sprint-2", "use --profile laptop");
  use.action(async (project: string | undefined, { tag, profile }: CommonOptions) => {
    const { directory } = host.config;
    const all = await readProfiles(directory);
    const name = profile ?? all.current;
    if (name === null) throw problem("usage", "There is no profile to keep this in; log in first.");
    const chosen = withDefaults(getProfile(all, name), project, tag);
    const client = createClient(createHttpTransport(chosen.server, chosen.token));
    if (project !== undefined) await client.get(`/projects/${encodeURIComponent(project)}`);
    await writeProfiles(directory, { current: name, profiles: { ...all.profiles, [name]: chosen } });
    host.stdout.write(`Working in ${placeOf(name, chosen)}.\n`);
  });
}

function withDefaults(profile: Profile, project: string | undefined, tag: string | undefined): Profile {
  return {
    ...profile,
    ...(project === undefined ? {} : { project }),
    ...(tag === undefined ? {} : { tag }),
  };
}

const placeOf = (name: string, { server, project, tag }: Profile) =>
  [name, server, project, tag].filter((part) => part !== undefined).join(" · ");

async function logIn(host: Host, server: string, options: LoginOptions): Promise<void> {
  const { directory } = host.config;
  const all = await readProfiles(directory);
  if (isClearText(server)) {
    host.stderr.write(
      `task-master-pro: ${server} is not encrypted; whoever is on the way can read the token.\n`,
    );
  }
  const token = await readToken(host, server, options.tokenFile);
  const client = createClient(createHttpTransport(server, token));
  const me = await client.get<Partial<Me>>("/me");
  if (me.actor === undefined) throw problem("not_an_api", `${server} is no Task Master Pro server.`);
  const { project = await onlyProject(client), tag, profile: name = new URL(server).host } = options;
  const profile = withDefaults({ server, token }, project, tag);
  await writeProfiles(directory, { current: name, profiles: { ...all.profiles, [name]: profile } });
  const out = openOutput(host, options);
  if (out.json) out.value({ profile: name, server, project: project ?? null, tag: tag ?? null, me });
  else {
    out.say(
      `Logged in as ${out.oneLine(me.actor.name)} (${me.role}). Working in ${out.oneLine(placeOf(name, profile))}.`,
    );
    if (project === undefined) out.say('Choose a project with "use KEY"; "projects" lists them.');
  }
}

async function onlyProject(client: ReturnType<typeof createClient>): Promise<string | undefined> {
  const { items } = await client.list<Project>("/projects", {}, 2);
  return items.length === 1 ? items[0]?.key : undefined;
}

async function readToken(host: Host, server: string, file: string | undefined): Promise<string> {
  const given =
    file !== undefined
      ? await readText(resolve(host.cwd, file))
      : host.stdin.isTTY === true
        ? await askSecret(host, `Token for ${server}: `)
        : await readInput(host.stdin);
  const token = given.trim();
  if (/^[A-Za-z0-9._~+/=-]+$/.test(token)) return token;
  throw problem(
    "usage",
    "That is no token; the server's first start shows one, and so does POST /api/v1/tokens.",
  );
}

async function list(host: Host, options: LoginOptions): Promise<void> {
  const { current, profiles } = await readProfiles(host.config.directory);
  const out = openOutput(host, options);
  const rows = Object.entries(profiles).map(([name, { server, project = null, tag = null }]) => ({
    name,
    server,
    project,
    tag,
    current: name === current,
  }));
  if (out.json) out.value({ items: rows, nextCursor: null });
  else if (rows.length === 0) out.say("No profiles yet.");
  else {
    out.table(
      [{ title: "PROFILE" }, { title: "SERVER", grows: true }, { title: "PROJECT" }, { title: "TAG" }],
      rows.map((row) => [
        row.current ? { text: `${row.name} *`, style: "bold" as const } : row.name,
        row.server,
        row.project ?? "",
        row.tag ?? "",
      ]),
    );
  }
}
