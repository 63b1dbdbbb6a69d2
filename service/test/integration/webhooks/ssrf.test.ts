import { createServer as createTlsServer } from "node:https";
import { createServer, type Server, type Socket } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findUrlFault } from "../../../src/core/index.ts";
import { createResolver } from "../../../src/webhooks/resolver.ts";
import { createSender, type SenderOptions } from "../../../src/webhooks/sender.ts";
import { disguisedHosts, forbiddenAddresses } from "../../support/addresses.ts";
import { certificate } from "../../support/certificate.ts";
import { type NameServer, startNameServer } from "../../support/name-server.ts";
import { startReceiver } from "../../support/receiver.ts";
import { openWebhookTest } from "../../support/webhooks.ts";

/** Over http, and no address but the public ones. */
const strict = { allowHttp: true, allowedNetworks: [] };

/** Sockets that count who connects, on every address of loopback, at one port; none must ever be reached. */
const traps: Server[] = [];
const sockets = new Set<Socket>();
let port = 0;
let connections: string[] = [];
let names: NameServer;
/** What the name server answers, a list a question, the last one for ever. */
let answers: Record<string, string[][]> = {};

async function trap(host: string, at: number): Promise<number> {
  const server = createServer((socket) => {
    connections.push(host);
    sockets.add(socket);
    socket.on("error", () => {});
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port: at, ipv6Only: host.includes(":") }, resolve);
  });
  traps.push(server);
  return (server.address() as { port: number }).port;
}

beforeAll(async () => {
  // Every address of IPv4, so that 127.0.0.1, 127.0.0.2 and 0.0.0.0 are all heard; and IPv6 where there is any.
  port = await trap("0.0.0.0", 0);
  await trap("::", port).catch(() => {});
  names = await startNameServer((name) => {
    const queue = answers[name] ?? [];
    return (queue.length > 2 ? queue.shift() : queue[0]) ?? [];
  });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of traps) await new Promise((resolve) => server.close(resolve));
  await names.close();
});

const senderOf = (options: Partial<SenderOptions> = {}) =>
  createSender({
    rules: strict,
    resolve: createResolver({ servers: [names.address] }),
    timeoutMs: 3000,
    userAgent: "test",
    ...options,
  });
const message = (url: string) => ({ url, headers: { "webhook-id": "x" }, body: "{}" });
const never = new AbortController().signal;

it("the traps can be reached by what is to be refused, once it is allowed", async () => {
  connections = [];
  const open = senderOf({
    rules: { allowHttp: true, allowedNetworks: ["0.0.0.0/0", "::/0"] },
    resolve: async () => ["127.0.0.1"],
  });
  const reached: string[] = [];
  for (const host of disguisedHosts) {
    const before = connections.length;
    await open(message(`http://${host}:${port}/`), never);
    if (connections.length > before) reached.push(host);
  }
  // Not those that no system dials: translations of addresses, and what is no URL.
  expect(reached.length).toBeGreaterThan(25);
  for (const host of [
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "localhost.",
    "127。0。0。1",
  ]) {
    expect(reached).toContain(host);
  }
});

describe("nothing is connected to", () => {
  const untouched = async (url: string, options: Partial<SenderOptions> = {}) => {
    connections = [];
    const outcome = await senderOf(options)(message(url), never);
    expect([url, outcome.kind, connections]).toEqual([url, "failed", []]);
    return outcome.kind === "failed" ? outcome.error : "";
  };

  it("when an address is written in disguise, at creation and at delivery", async () => {
    for (const host of disguisedHosts) {
      const url = `http://${host}:${port}/`;
      expect(findUrlFault(url, strict)).toBeDefined();
      // As if it had been let in: by another release, under other rules.
      await untouched(url);
    }
  });

  it("when it is no public address, of any kind", async () => {
    for (const address of Object.values(forbiddenAddresses).flat()) {
      const host = address.includes(":") ? `[${address}]` : address;
      expect(await untouched(`http://${host}:${port}/`)).toMatch(/not a public one/);
    }
  });

  it("when a name stands for one, of any kind, alone or beside a public one", async () => {
    for (const address of Object.values(forbiddenAddresses).flat()) {
      const name = "inside.example.com";
      answers = { [name]: [[address]] };
      // A mapped address in an AAAA record is what the resolver may write either way.
      expect(await untouched(`http://${name}:${port}/`)).toMatch(/not a public one/);
      answers = { [name]: [["93.184.215.14", address]] };
      expect(await untouched(`http://${name}:${port}/`)).toMatch(/not a public one/);
    }
  });

  it("when the name cannot be resolved, has no address, or its server is silent", async () => {
    answers = { "empty.example.com": [[]] };
    expect(await untouched(`http://empty.example.com:${port}/`)).toBe("The host's name cannot be resolved.");
    expect(await untouched(`http://none.example.com:${port}/`)).toBe("The host's name cannot be resolved.");
    const silent = createResolver({ servers: ["127.0.0.1:1"] });
    expect(await untouched(`http://a.example.com:${port}/`, { resolve: silent })).toMatch(/resolved/);
    const hanging = { resolve: () => new Promise<never>(() => {}), timeoutMs: 100 };
    expect(await untouched(`http://a.example.com:${port}/`, hanging)).toMatch(/within 0.1 s/);
    // Whatever a resolver makes up.
    for (const made of [[], [""], ["example.com"], ["127.0.0.1"], ["1.1.1.1", "::1"]]) {
      await untouched(`http://a.example.com:${port}/`, { resolve: async () => made });
    }
  });

  it("when it wants another protocol, a port of another, or a password", async () => {
    for (const url of [
      "ftp://127.0.0.1/",
      "file:///etc/passwd",
      "http://a:b@93.184.215.14/",
      "http://93.184.215.14:25/",
    ])
      await untouched(url);
    await untouched(`http://93.184.215.14:${port}/`, { rules: { allowHttp: false, allowedNetworks: [] } });
  });
});

it("does not follow a redirect, wherever to", async () => {
  connections = [];
  for (const status of [301, 302, 303, 307, 308]) {
    const target = await startReceiver((_, response) =>
      response.writeHead(status, { location: `http://127.0.0.1:${port}/inside` }).end(),
    );
    // Only the receiver's own address is allowed, as that of a public one would be.
    const rules = { allowHttp: true, allowedNetworks: ["127.0.0.1/32"] };
    const outcome = await senderOf({ rules })(message(target.origin), never);
    expect(outcome).toMatchObject({ kind: "answered", status });
    expect(target.received).toHaveLength(1);
    await target.close();
  }
  expect(connections).toEqual([]);
});

it("connects to the address that was checked, and not to what the name means a moment later", async () => {
  const target = await startReceiver();
  const at = new URL(target.origin).port;
  // 127.0.0.1 stands for a public address; 127.0.0.2 is where an attacker would lead to, and the traps listen there.
  const rules = { allowHttp: true, allowedNetworks: ["127.0.0.1/32"] };
  const name = "rebind.example.com";
  const trapped = await startReceiverAt("127.0.0.2", Number(at));
  // A question for each family; after those of the first attempt it means something else.
  answers = { [name]: [["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"], ["127.0.0.2"]] };
  names.questions.length = 0;
  const send = senderOf({ rules });
  expect(await send(message(`http://${name}:${at}/`), never)).toMatchObject({
    kind: "answered",
    status: 204,
  });
  expect(target.received[0]?.headers.host).toBe(`${name}:${at}`);
  // Once and not again for the connection.
  expect([...names.questions].sort()).toEqual([`A ${name}`, `AAAA ${name}`]);
  expect(await send(message(`http://${name}:${at}/`), never)).toMatchObject({
    kind: "failed",
    error: expect.stringMatching(/not a public one/),
  });
  expect(target.received).toHaveLength(1);
  expect(trapped.count()).toBe(0);
  await trapped.close();
  await target.close();
});

it("speaks TLS with the name at the address that was checked, and with nobody whose certificate is not that name's", async () => {
  const served: (string | undefined)[] = [];
  const server = createTlsServer(certificate, (request, response) => {
    served.push(request.headers.host);
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: at } = server.address() as { port: number };
  const rules = { allowHttp: false, allowedNetworks: ["127.0.0.1/32"] };
  const send = senderOf({ rules, resolve: async () => ["127.0.0.1"] });
  const stranger = { kind: "failed", error: expect.stringMatching(/certificate is not good/) };
  expect(await send(message(`https://hook.example.com:${at}/`), never)).toMatchObject(stranger);
  const usual = getCACertificates("default");
  setDefaultCACertificates([...usual, certificate.cert]);
  try {
    expect(await send(message(`https://other.example.com:${at}/`), never)).toMatchObject(stranger);
    expect(await send(message(`https://127.0.0.1:${at}/`), never)).toMatchObject(stranger);
    expect(served).toEqual([]);
    const good = await send(message(`https://hook.example.com:${at}/`), never);
    expect(good).toMatchObject({ kind: "answered", status: 204 });
    expect(served).toEqual([`hook.example.com:${at}`]);
  } finally {
    setDefaultCACertificates(usual);
    await new Promise((resolve) => server.close(resolve));
  }
});

async function startReceiverAt(host: string, at: number) {
  let count = 0;
  const server = createServer(() => {
    count += 1;
  });
  await new Promise<void>((resolve) => server.listen(at, host, resolve));
  return {
    count: () => count,
    close: async () => await new Promise((resolve) => server.close(resolve)),
  };
}

it("refuses them when a webhook is made or changed, and whatever was let in is given up without a connection", async () => {
  connections = [];
  const test = await openWebhookTest({ addresses: strict });
  try {
    const make = (url: string) => test.core.webhooks.create(test.owner, { url });
    await expect(make(`http://2130706433:${port}/`)).rejects.toMatchObject({
      code: "invalid_input",
      errors: [{ pointer: "/url", detail: expect.stringMatching(/not a public one/) }],
    });
    const webhook = await make(`http://inside.example.com:${port}/`);
    await expect(
      test.core.webhooks.update(test.owner, webhook.id, { url: "http://[::1]/" }, webhook.version),
    ).rejects.toMatchObject({ code: "invalid_input", errors: [{ pointer: "/url" }] });
    answers = { "inside.example.com": [["127.0.0.1"]] };
    test.work({ rules: strict, resolve: createResolver({ servers: [names.address] }) });
    const { id } = await test.core.webhooks.test(test.owner, webhook.id);
    const state = async () => (await test.core.webhooks.getDelivery(test.owner, id)).state;
    while ((await state()) === "pending") await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await test.core.webhooks.getDelivery(test.owner, id)).toMatchObject({
      state: "dead",
      attempts: 3,
      responseStatus: null,
      error: expect.stringMatching(/not a public one/),
    });
    expect(connections).toEqual([]);
  } finally {
    await test.close();
  }
});
