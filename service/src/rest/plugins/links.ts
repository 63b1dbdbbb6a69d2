/** The parts of OpenAPI 3.1 (and of JSON Schema in it) that the description is worked on by. */
export interface Schema {
  title?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
}

interface Answer {
  description: string;
  content?: Record<string, { schema?: Schema }>;
  headers?: Record<string, object>;
  links?: Record<string, object>;
}

export interface Operation {
  operationId: string;
  summary: string;
  parameters?: { in: string; name: string; required?: boolean; description?: string; schema?: object }[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, Answer>;
}

/** Where a resource is, and how an answer that shows it names the parameters of that address. */
interface Place {
  address: string;
  parameters: Record<string, string>;
  /** What the operations there want in their body out of that answer. */
  body?: Record<string, string>;
}

const byId = { id: "$response.body#/id" };
const places: Record<string, Place> = {
  // A token acts in one organization; another one is only reached by a session.
  Organization: {
    address: "/sessions",
    parameters: {},
    body: { organization: "$response.body#/slug" },
  },
  Membership: { address: "/memberships/{id}", parameters: byId },
  Agent: { address: "/agents/{id}", parameters: byId },
  AccessToken: { address: "/tokens/{id}", parameters: byId },
  IssuedToken: { address: "/tokens/{id}", parameters: byId },
  Project: { address: "/projects/{key}", parameters: { key: "$response.body#/key" } },
  Tag: {
    address: "/projects/{key}/tags/{tag}",
    parameters: { key: "$response.body#/project", tag: "$response.body#/name" },
  },
  Task: { address: "/tasks/{id}", parameters: byId },
  Claim: { address: "/claims/{id}", parameters: byId, body: { fence: "$response.body#/fence" } },
  Link: {
    address: "/tasks/{id}/links/{link}",
    parameters: { id: "$response.body#/task", link: "$response.body#/id" },
  },
  Receiver: { address: "/receivers/{id}", parameters: byId },
  IssuedReceiver: { address: "/receivers/{id}", parameters: byId },
  Webhook: { address: "/webhooks/{id}", parameters: byId },
  IssuedWebhook: { address: "/webhooks/{id}", parameters: byId },
  Delivery: { address: "/deliveries/{id}", parameters: byId },
  Comment: { address: "/comments/{id}", parameters: byId },
};

/**
 * Adds to every answer that shows a resource the links (OpenAPI) to the operations on that resource, so that a reader
 * or a program sees where its id leads. Returns the links, for the description's components.
 */
export function addLinks(operations: ReadonlyMap<string, Operation[]>, prefix: string): object {
  const links: Record<string, object> = {};
  const namesOf = new Map<string, string[]>();
  for (const [title, place] of Object.entries(places)) {
    const names: string[] = [];
    for (const [path, there] of operations) {
      if (!isAt(path, prefix + place.address)) continue;
      for (const operation of there) {
        links[operation.operationId] = linkTo(operation, place);
        names.push(operation.operationId);
      }
    }
    namesOf.set(title, names);
  }
  for (const operation of [...operations.values()].flat()) {
    for (const [status, answer] of Object.entries(operation.responses)) {
      const names = status.startsWith("2") ? namesOf.get(schemaOf(answer)?.title ?? "") : undefined;
      if (names === undefined) continue;
      answer.links = Object.fromEntries(names.map((name) => [name, { $ref: `#/components/links/${name}` }]));
    }
  }
  return links;
}

/** Whether a path is the address or goes on from it without any further parameter. */
function isAt(path: string, address: string): boolean {
  return path === address || (path.startsWith(`${address}/`) && !path.slice(address.length).includes("{"));
}

function linkTo(operation: Operation, { parameters, body }: Place): object {
  const changes = operation.parameters?.some(({ name }) => name === "If-Match");
  return {
    operationId: operation.operationId,
    parameters: { ...parameters, ...(changes ? { "If-Match": "$response.header.ETag" } : {}) },
    ...(body !== undefined && operation.requestBody !== undefined ? { requestBody: body } : {}),
  };
}

/** What an answer shows; where `fields` can cut it down, what it shows without them. */
export function schemaOf(answer: Answer) {
  const schema = answer.content?.["application/json"]?.schema;
  return schema?.anyOf?.[0] ?? schema;
}
