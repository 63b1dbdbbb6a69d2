import { setTimeout as sleep } from "node:timers/promises";
import {
  type CallToolResult,
  CreateMessageResultSchema,
  ElicitResultSchema,
  type GetPromptResult,
} from "@modelcontextprotocol/sdk/types.js";
import type { Features, Incoming, PromptFeature, ToolFeature } from "../../src/mcp/features.ts";

/** A red pixel, and silence of no length. */
const image =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const audio = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
const text = (words: string) => ({ type: "text" as const, text: words });
const picture = { type: "image" as const, data: image, mimeType: "image/png" };

function tool(
  name: string,
  call: (input: Record<string, unknown>, incoming: Incoming) => Promise<CallToolResult["content"]>,
  inputSchema: ToolFeature["definition"]["inputSchema"] = { type: "object" },
): ToolFeature {
  return {
    definition: { name, description: "A fixture of the conformance suite.", inputSchema },
    call: async (input, incoming) => ({ content: await call(input, incoming) }),
  };
}

/** Asks the client's user; the answer is shown as the suite wants to read it. */
async function elicit({ extra }: Incoming, message: string, properties: object, required: string[] = []) {
  const { action, content } = await extra.sendRequest(
    {
      method: "elicitation/create",
      params: { message, requestedSchema: { type: "object", properties: properties as never, required } },
    },
    ElicitResultSchema,
  );
  return [text(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`)];
}

const tools: ToolFeature[] = [
  tool("test_simple_text", async () => [text("This is a simple text response for testing.")]),
  tool("test_image_content", async () => [picture]),
  tool("test_audio_content", async () => [{ type: "audio", data: audio, mimeType: "audio/wav" }]),
  tool("test_embedded_resource", async () => [
    {
      type: "resource",
      resource: {
        uri: "test://embedded-resource",
        mimeType: "text/plain",
        text: "This is an embedded resource content.",
      },
    },
  ]),
  tool("test_multiple_content_types", async () => [
    text("Multiple content types test:"),
    picture,
    {
      type: "resource",
      resource: {
        uri: "test://mixed-content-resource",
        mimeType: "application/json",
        text: JSON.stringify({ test: "data", value: 123 }),
      },
    },
  ]),
  tool("test_tool_with_logging", async (_input, { extra }) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data } });
      await sleep(50);
    }
    return [text("Tool with logging executed successfully")];
  }),
  tool("test_tool_with_progress", async (_input, { extra }) => {
    const progressToken = extra._meta?.progressToken ?? 0;
    for (const progress of [0, 50, 100]) {
      await extra.sendNotification({
        method: "notifications/progress",
        params: { progressToken, progress, total: 100 },
      });
      await sleep(50);
    }
    return [text(String(progressToken))];
  }),
  {
    ...tool("test_error_handling", async () => []),
    call: async () => ({
      isError: true,
      content: [text("This tool intentionally returns an error for testing")],
    }),
  },
  tool("test_reconnection", async (_input, { extra }) => {
    extra.closeSSEStream?.();
    await sleep(100);
    return [text("Reconnection test completed successfully.")];
  }),
  tool(
    "test_sampling",
    async ({ prompt }, { extra }) => {
      const { content } = await extra.sendRequest(
        {
          method: "sampling/createMessage",
          params: { messages: [{ role: "user", content: text(String(prompt)) }], maxTokens: 100 },
        },
        CreateMessageResultSchema,
      );
      return [text(`LLM response: ${content.type === "text" ? content.text : content.type}`)];
    },
    { type: "object", properties: { prompt: { type: "string" } }, required: ["prompt"] },
  ),
  tool(
    "test_elicitation",
    ({ message }, incoming) =>
      elicit(incoming, String(message), { response: { type: "string", description: "User's response" } }, [
        "response",
      ]),
    { type: "object", properties: { message: { type: "string" } }, required: ["message"] },
  ),
  tool("test_elicitation_sep1034_defaults", (_input, incoming) =>
    elicit(incoming, "Please review and update the form fields with defaults", {
      name: { type: "string", description: "User name", default: "John Doe" },
      age: { type: "integer", description: "User age", default: 30 },
      score: { type: "number", description: "User score", default: 95.5 },
      status: {
        type: "string",
        description: "User status",
        enum: ["active", "inactive", "pending"],
        default: "active",
      },
      verified: { type: "boolean", description: "Verification status", default: true },
    }),
  ),
  tool("test_elicitation_sep1330_enums", (_input, incoming) =>
    elicit(incoming, "Please select options from the enum fields", {
      untitledSingle: { type: "string", description: "One", enum: ["option1", "option2", "option3"] },
      titledSingle: {
        type: "string",
        description: "One with titles",
        oneOf: [
          { const: "value1", title: "First Option" },
          { const: "value2", title: "Second Option" },
          { const: "value3", title: "Third Option" },
        ],
      },
      legacyEnum: {
        type: "string",
        description: "One, as of old",
        enum: ["opt1", "opt2", "opt3"],
        enumNames: ["Option One", "Option Two", "Option Three"],
      },
      untitledMulti: {
        type: "array",
        description: "Several",
        minItems: 1,
        maxItems: 3,
        items: { type: "string", enum: ["option1", "option2", "option3"] },
      },
      titledMulti: {
        type: "array",
        description: "Several with titles",
        minItems: 1,
        maxItems: 3,
        items: {
          anyOf: [
            { const: "value1", title: "First Choice" },
            { const: "value2", title: "Second Choice" },
            { const: "value3", title: "Third Choice" },
          ],
        },
      },
    }),
  ),
  tool("json_schema_2020_12_tool", async (input) => [text(JSON.stringify(input))], {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    $defs: {
      address: {
        $anchor: "addressDef",
        type: "object",
        properties: { street: { type: "string" }, city: { type: "string" } },
      },
    },
    properties: {
      name: { type: "string" },
      address: { $ref: "#/$defs/address" },
      contactMethod: { type: "string", enum: ["phone", "email"] },
      phone: { type: "string" },
      email: { type: "string" },
    },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { required: ["phone"] },
    else: { required: ["email"] },
    additionalProperties: false,
  }),
];

function prompt(
  name: string,
  names: string[],
  get: (given: Record<string, string>) => GetPromptResult["messages"][number]["content"][],
): PromptFeature {
  return {
    definition: {
      name,
      description: "A fixture of the conformance suite.",
      arguments: names.map((one) => ({ name: one, description: "Any text.", required: true })),
    },
    get: async (given) => ({ messages: get(given).map((content) => ({ role: "user", content })) }),
  };
}

const prompts: PromptFeature[] = [
  prompt("test_simple_prompt", [], () => [text("This is a simple prompt for testing.")]),
  prompt("test_prompt_with_arguments", ["arg1", "arg2"], ({ arg1, arg2 }) => [
    text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`),
  ]),
  prompt("test_prompt_with_embedded_resource", ["resourceUri"], ({ resourceUri = "" }) => [
    {
      type: "resource",
      resource: {
        uri: resourceUri,
        mimeType: "text/plain",
        text: "Embedded resource content for testing.",
      },
    },
    text("Please process the embedded resource above."),
  ]),
  prompt("test_prompt_with_image", [], () => [picture, text("Please analyze the image above.")]),
];

const idOf = (uri: string) => /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];

/** What the conformance suite demands of a server that it tests, beside what the product has. */
export const fixtures: Features = {
  tools,
  prompts,
  resources: [
    {
      definition: { name: "static-text", uri: "test://static-text", mimeType: "text/plain" },
      read: async (uri) => ({
        contents: [{ uri, mimeType: "text/plain", text: "This is the content of the static text resource." }],
      }),
    },
    {
      definition: { name: "static-binary", uri: "test://static-binary", mimeType: "image/png" },
      read: async (uri) => ({ contents: [{ uri, mimeType: "image/png", blob: image }] }),
    },
    {
      definition: { name: "watched-resource", uri: "test://watched-resource", mimeType: "text/plain" },
      read: async (uri) => ({
        contents: [{ uri, mimeType: "text/plain", text: "Watched resource content" }],
      }),
      async watch(_uri, _incoming, changed) {
        const timer = setInterval(changed, 3000);
        return () => clearInterval(timer);
      },
    },
  ],
  templates: [
    {
      definition: {
        name: "template",
        uriTemplate: "test://template/{id}/data",
        mimeType: "application/json",
      },
      matches: (uri) => idOf(uri) !== undefined,
      read: async (uri) => ({
        contents: [
          {
            uri,
            mimeType: "application/json",
            text: JSON.stringify({ id: idOf(uri), templateTest: true, data: `Data for ID: ${idOf(uri)}` }),
          },
        ],
      }),
    },
  ],
};
