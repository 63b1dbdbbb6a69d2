import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Client,
  clientOf,
  connect,
  createWorld,
  deployment,
  images,
  pause,
  say,
  since,
  startWriters,
  titlesOf,
  until,
  type World,
} from "./cluster.ts";

/** Two regions, played by two namespaces: each has a release and a database of its own, of which one follows the other. */
const database = `${deployment}-db`;
const regions = { north: "south", south: "north" } as const;
type Region = keyof typeof regions;
const worlds = {} as Record<Region, World>;
/** Where clients are sent to, as a DNS record says it. */
let active: Region = "north";
let token: string;
const client: Client = {
  get token() {
    return token;
  },
  call: async (...args) => await clientOf(worlds[active], token).call(...args),
};

async function createRegion(region: Region): Promise<void> {
  const peer = regions[region];
  const set = (prefix: string, values: string) =>
    values.split(",").flatMap((one) => ["--set", `${prefix}${one}`]);
  const of = "database.cloudnativePg.";
  const world = await createWorld(region, [
    ...set("", "database.mode=cloudnative-pg,replicaCount=1,session.existingSecret=session"),
    ...set(of, "existingSecret=taskmaster"),
    // One instance each: what fails over within a region is in cloudnative-pg.test.ts.
    ...set(of, "instances=1,synchronousStandbys=0,storage.size=1Gi"),
    ...set(of, "resources.requests.cpu=50m,resources.requests.memory=128Mi"),
    // A copy begins with a checkpoint, which is spread over minutes otherwise.
    ...set(of, "parameters.checkpoint_completion_target=0"),
    ...set(`${of}region.`, `name=${region},peer.name=${peer},peer.host=${database}-rw.e2e-${peer}.svc`),
    ...set(`${of}region.peer.`, `caSecret=${peer}-ca,replicationSecret=${peer}-replication`),
  ]);
  await world.kubectl(
    ...["create", "secret", "generic", "session"],
    `--from-literal=session-secret=${"s".repeat(40)}`,
  );
  const password = "the-same-in-both-regions";
  await world.kubectl(
    ...["create", "secret", "generic", "taskmaster", "--type=kubernetes.io/basic-auth"],
    ...["--from-literal=username=taskmaster", `--from-literal=password=${password}`],
    `--from-literal=uri=postgresql://taskmaster:${password}@${database}-rw:5432/taskmaster`,
  );
  worlds[region] = world;
}

/** Lets the other region's database follow this one's: gives it the certificates for that. */
async function admit(to: Region): Promise<void> {
  const from = regions[to];
  const copy = async (secret: string, ...keys: string[]) => {
    const { data } = await worlds[from].get("secret", `${database}-${secret}`);
    const kept = Object.fromEntries(keys.map((key) => [key, data[key]]));
    const metadata = { name: `${from}-${secret}` };
    await worlds[to].apply(JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata, data: kept }));
  };
  await copy("ca", "ca.crt");
  await copy("replication", "tls.crt", "tls.key");
}

/** Installs or upgrades a region's release; `primary` is who takes writes. */
async function deploy(region: Region, primary: Region, promotionToken?: string): Promise<void> {
  const of = "database.cloudnativePg.region.";
  await worlds[region].deploy(
    images.current,
    ...["--set", `${of}primary=${primary}`],
    ...(promotionToken === undefined ? [] : ["--set-string", `${of}promotionToken=${promotionToken}`]),
  );
}

async function psql(region: Region, statement: string): Promise<string> {
  const { currentPrimary } = (await worlds[region].get("cluster", database)).status;
  const out = await worlds[region].kubectl(
    ...["exec", currentPrimary, "-c", "postgres", "--", "psql", "-AtXc", statement, "taskmaster"],
  );
  return out.trim();
}

/** Makes the region that is not active follow the one that is. */
async function follow(region: Region): Promise<void> {
  await admit(region);
  await deploy(region, active);
  await worlds[region].kubectl("wait", "--for=condition=Ready", `cluster/${database}`, "--timeout=180s");
  await until(`${region} follows`, 60, async () => (await follows(region)) === "streaming");
}

async function follows(region: Region): Promise<string> {
  return await psql(region, "SELECT status FROM pg_stat_wal_receiver");
}

/** The region is gone at once, and nobody there can say good-bye. */
async function lose(region: Region): Promise<void> {
  await worlds[region].kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false");
  await worlds[region].kubectl("delete", "namespace", worlds[region].namespace, "--wait=false");
}

/** The region takes over with what it has, and clients are sent to it; how many seconds until it took a write. */
async function takeOver(region: Region, writers: ReturnType<typeof startWriters>): Promise<number> {
  const started = performance.now();
  await deploy(region, region);
  active = region;
  await until(`${region} takes a write`, 120, async () => writers.outcomes.at(-1)?.ok === true);
  const first = writers.outcomes.find(({ at, ok }) => ok && at > started)?.at ?? Number.NaN;
  await pause(3000);
  return Math.round((first - started) / 100) / 10;
}

/** Those that were acknowledged, and are not there. */
async function lostOf(acknowledged: string[], project: string): Promise<string[]> {
  const kept = new Set(await titlesOf(client, project));
  return acknowledged.filter((title) => !kept.has(title));
}

async function createProject(key: string): Promise<void> {
  expect(await client.call("POST", "/projects", { key, name: key })).toMatchObject({ status: 201 });
}

beforeAll(async () => {
  await createRegion("north");
  await createRegion("south");
});
afterAll(async () => {
  if (process.env.E2E_KEEP !== undefined) return;
  await Promise.all([worlds.north.close(), worlds.south.close()]);
});

test("the second region's database follows the first one's, and nothing else runs there", async () => {
  await deploy("north", "north");
  token = (await connect(worlds.north)).token;
  await follow("south");
  // The first will follow the second one day.
  await admit("north");
  await createProject("SEEN");
  await until("what is written in the north is in the south", 10, async () => {
    return (await psql("south", "SELECT count(*) FROM projects WHERE key = 'SEEN'")) === "1";
  });
  expect((await worlds.south.get("pods", "-l", "app.kubernetes.io/name=task-master-pro")).items).toEqual([]);
  expect((await worlds.south.get("jobs")).items).toEqual([]);
});

test("a planned switch under load loses nothing, and the region that stepped back follows without being made anew", async () => {
  await createProject("PLAN");
  const writers = startWriters(client, "PLAN", 3);
  const [from, written] = [await psql("north", "SELECT pg_current_wal_lsn()"), writers.acknowledged.length];
  await pause(5000);
  const wal = Number(await psql("north", `SELECT pg_current_wal_lsn() - '${from}'::pg_lsn`));
  say(
    `${Math.round(wal / (writers.acknowledged.length - written))} bytes go to the other region for a write`,
  );
  const began = performance.now();
  await deploy("north", "south");
  let demotionToken = "";
  const stepped = await until("the north has stepped back", 120, async () => {
    demotionToken = (await worlds.north.get("cluster", database)).status.demotionToken ?? "";
    return demotionToken !== "";
  });
  await deploy("south", "south", demotionToken);
  active = "south";
  await until("the south takes writes", 120, async () => writers.outcomes.at(-1)?.ok === true);
  await pause(3000);
  await writers.stop();
  const { gap, refused } = since(writers.outcomes, began);
  say(
    `the north had stepped back after ${stepped} s; ${gap} s without a write; ${writers.acknowledged.length} acknowledged, ${refused} refused`,
  );
  expect(await lostOf(writers.acknowledged, "PLAN")).toEqual([]);
  await until("the north follows", 120, async () => (await follows("north")) === "streaming");
  expect(await psql("north", "SELECT pg_is_in_recovery()")).toBe("t");
});

test("the region that takes writes is lost under load: the other one goes on, with all but the last moment's", async () => {
  await createProject("LOST");
  const writers = startWriters(client, "LOST", 3);
  await pause(5000);
  await lose("south");
  const taken = await takeOver("north", writers);
  await writers.stop();
  const lost = await lostOf(writers.acknowledged, "LOST");
  say(
    `${taken} s from the decision to the first write; ${writers.acknowledged.length} acknowledged, ${lost.length} lost`,
  );
  // At three writers, far more than what is on its way at one time.
  expect(lost.length).toBeLessThan(20);
});

test("the lost region comes back as the standby, and is lost by the other's loss only by as much as the link was behind", async () => {
  await worlds.south.close();
  await createRegion("south");
  await follow("south");
  await createProject("LATE");
  const writers = startWriters(client, "LATE", 3);
  await pause(5000);
  // The link stands still: what is written from now on does not leave the region.
  const before = [...writers.acknowledged];
  await pause(500);
  const sender = await psql("north", "SELECT pid FROM pg_stat_replication");
  await worlds.north.kubectl(
    "exec",
    `${database}-1`,
    "-c",
    "postgres",
    "--",
    "bash",
    "-c",
    `kill -STOP ${sender}`,
  );
  await pause(2000);
  await lose("north");
  const taken = await takeOver("south", writers);
  await writers.stop();
  const lost = await lostOf(writers.acknowledged, "LATE");
  say(
    `${taken} s from the decision to the first write; ${writers.acknowledged.length} acknowledged, ${lost.length} lost, of a link that stood still for 2 s`,
  );
  expect(await lostOf(before, "LATE")).toEqual([]);
  expect(lost.length).toBeGreaterThan(0);
});
