import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { LanguageModel } from "../../src/core/index.ts";
import { createOpenAi, type OpenAiOptions } from "../../src/language-model/openai.ts";

export interface ChatRequest {
  headers: IncomingHttpHeaders;
  body: {
    model: string;
    messages: { role: string; content: string }[];
    response_format: { type: string; json_schema: { name: string; strict: boolean; schema: object } };
    max_tokens?: number;
    max_completion_tokens?: number;
  };
}

export type Reply = (response: ServerResponse, request: ChatRequest) => unknown;

export interface ModelServer {
  url: string;
  /** What it was asked so far. */
  requests: ChatRequest[];
  /** How the next requests are answered, one after another; without more, the last way again. */
  answer(...replies: Reply[]): void;
  model(options?: Partial<OpenAiOptions>): LanguageModel;
  close(): Promise<void>;
}

/** A server of the OpenAI protocol's chat completions that says what a test wants it to say. */
export async function openModelServer(): Promise<ModelServer> {
  const requests: ChatRequest[] = [];
  let replies: Reply[] = [];
  const server = createServer(async (incoming, response) => {
    if (incoming.method !== "POST" || incoming.url !== "/v1/chat/completions") {
      response.writeHead(404).end();
      return;
    }
    const request = { headers: incoming.headers, body: JSON.parse(await text(incoming)) } as ChatRequest;
    requests.push(request);
    const reply = replies.length > 1 ? replies.shift() : replies[0];
    await reply?.(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return {
    url,
    requests,
    answer(...next) {
      replies = next;
      requests.length = 0;
    },
    model: (options = {}) =>
      createOpenAi({
        baseUrl: url,
        model: "planner",
        apiKey: "sk-test",
        timeoutSeconds: 10,
        maxTokens: 4096,
        ...options,
      }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A completion whose content is this, as text or as JSON. */
export function says(content: unknown, finish = "stop"): Reply {
  return (response) =>
    sends(200, {
      id: "chatcmpl-1",
      object: "chat.completion",
      choices: [
        {
          index: 0,
          finish_reason: finish,
          message: {
            role: "assistant",
            content: typeof content === "string" ? content : JSON.stringify(content),
          },
        },
      ],
    })(response, undefined as never);
}

export function sends(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
}

/** Subtasks, or tasks, that wait for the numbers given. */
export function numbered(waits: Record<number, number[]>, more: object = {}) {
  return Object.entries(waits).map(([id, dependencies]) => ({
    id: Number(id),
    title: `Step ${id}`,
    description: `What step ${id} is`,
    details: "How",
    testStrategy: "Look",
    dependencies,
    ...more,
  }));
}
