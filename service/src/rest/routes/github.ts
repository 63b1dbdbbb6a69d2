import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { type Core, Receipt } from "../../core/index.ts";
import { addRawBodies } from "../plugins/body.ts";
import { IdParams, NoContent, NoQuery, operation } from "../schemas.ts";

/** GitHub sends up to 25 MB; what is read here, of an issue or a pull request, is far below 1 MB. */
const limitBytes = 1_048_576;

const header = (description: string) => Type.Optional(Type.String({ maxLength: 200, description }));
const DeliveryHeaders = Type.Object({
  "X-Hub-Signature-256": header(
    "sha256= and the HMAC-SHA-256 of the body under the receiver's secret, in hex.",
  ),
  "X-GitHub-Event": header("The event's name."),
  "X-GitHub-Delivery": header("The delivery's id, the same over its repeats."),
});

/** Where GitHub delivers. The only credential is the signature over the body. */
export const githubRoutes: FastifyPluginAsyncTypebox<{ core: Core }> = async (app, { core }) => {
  addRawBodies(app);

  app.post(
    "/receivers/github/:id",
    {
      bodyLimit: limitBytes,
      config: { problems: ["too_large", "unsupported_media_type"] },
      schema: {
        ...operation("receiveFromGitHub", "receivers", "Take a delivery of GitHub's; 204 for a ping"),
        description:
          "Signed by GitHub with the receiver's secret. A repeat changes nothing. Payloads as in GitHub's documentation: the " +
          "events issues and pull_request are read, all others ignored.",
        security: [],
        params: IdParams,
        querystring: NoQuery,
        headers: DeliveryHeaders,
        body: {
          content: {
            "application/json": {
              schema: { description: "The payload, over whose bytes the signature is." },
            },
          },
        },
        response: { 200: Receipt, 204: NoContent },
      },
    },
    async (request, reply) => {
      const text = (name: string) => {
        const value = request.headers[name];
        return typeof value === "string" ? value : undefined;
      };
      const receipt = await core.receivers.receive(request.params.id, {
        event: text("x-github-event"),
        delivery: text("x-github-delivery"),
        signature: text("x-hub-signature-256"),
        body: request.body instanceof Uint8Array ? request.body : new Uint8Array(),
        requestId: request.id,
      });
      return receipt === null ? reply.code(204).send(null) : reply.send(receipt);
    },
  );
};
