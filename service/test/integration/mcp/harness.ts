import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { CallToolResult, Tool } from "@modelcontextprotocol/sdk/types.js";
import type { Context, Core, LanguageModel } from "../../../src/core/index.ts";
import { openTestApp, type TestApp } from "../rest/harness.ts";

export interface McpTest extends TestApp {
  /** Where the app listens, without a slash at the end. */
  url: string;
  connect(token: string): Promise<Client>;
  /** For a client that the test makes itself. */
  transport(token: string): StreamableHTTPClientTransport;
}

/** The whole app on a real port, and clients of the official SDK. */
export async function openMcp(
  env: Record<string, string> = {},
  languageModel: LanguageModel | null = null,
): Promise<McpTest> {
  const test = await openTestApp(env, { languageModel });
  const url = await test.app.listen({ host: "127.0.0.1", port: 0 });
  const clients: Client[] = [];
  return {
    ...test,
    url,
    transport: (token) => transportTo(url, token),
    async connect(token) {
      const client = await connectTo(url, token);
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) await client.close();
      await test.close();
    },
  };
}

export async function connectTo(url: string, token: string): Promise<Client> {
  const client = new Client({ name: "test", version: "0" });
  // The class does not fit its own interface where an optional member may not be undefined.
  await client.connect(transportTo(url, token) as Transport);
  // So that the client checks every answer against the tool's output schema.
  await client.listTools();
  return client;
}

function transportTo(url: string, token: string): StreamableHTTPClientTransport {
  return new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
  });
}

/** Of every page: a server lists no more at once than fits a context window. */
export async function listTools(client: Client): Promise<Tool[]> {
  const { tools, nextCursor } = await client.listTools();
  const all = [...tools];
  for (let cursor = nextCursor; cursor !== undefined; ) {
    const page = await client.listTools({ cursor });
    all.push(...page.tools);
    cursor = page.nextCursor;
  }
  return all;
}

export type Content = Record<string, unknown> & { project: string; tag: string };

/** Calls a tool that must not refuse, and gives what is meant for programs. */
export async function ask(
  client: Client,
  name: string,
  input: Record<string, unknown> = {},
): Promise<Content> {
  const result = (await client.callTool({ name, arguments: input })) as CallToolResult;
  if (result.isError) throw new Error(`${name} was refused: ${JSON.stringify(result)}`);
  return result.structuredContent as Content;
}

/** Calls a tool that must refuse, and gives the code. */
export async function refusedBy(
  client: Client,
  name: string,
  input: Record<string, unknown> = {},
): Promise<string> {
  const result = (await client.callTool({ name, arguments: input })) as CallToolResult;
  if (!result.isError) throw new Error(`${name} was not refused: ${JSON.stringify(result)}`);
  return String((result.structuredContent as { code: string }).code);
}

/** A project with four tasks, of which 2 waits for 1, and 3 has the subtasks 3.1 and 3.2. */
export async function seed(core: Core, owner: Context, key: string): Promise<void> {
  await core.projects.create(owner, { key, name: key });
  const add = (title: string, dependencies: string[] = []) =>
    core.tasks.create(owner, key, "master", { title, dependencies });
  await add("One");
  await add("Two", ["1"]);
  await add("Three");
  await add("Four");
  await core.tasks.createSubtask(owner, `${key}:master:3`, { title: "Three one" });
  await core.tasks.createSubtask(owner, `${key}:master:3`, { title: "Three two", dependencies: ["3.1"] });
}
