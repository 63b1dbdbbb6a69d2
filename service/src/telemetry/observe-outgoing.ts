import { type Attributes, SpanKind } from "@opentelemetry/api";
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_RESEND_COUNT,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_SCHEME,
} from "@opentelemetry/semantic-conventions";
import { AppError, type LanguageModel, type Outcome, type OutgoingMessage } from "../core/index.ts";
import type { Spans } from "./spans.ts";

export type SendMessage = (message: OutgoingMessage, stop: AbortSignal) => Promise<Outcome>;

/**
 * A span an attempt to send a webhook message, in the trace of what the message tells of, whichever process sends it and however much
 * later. Its receiver may go on with it. Of the URL no more than the host is told: a path may be a secret.
 */
export function observeSend(send: SendMessage, spans: Spans): SendMessage {
  return async (message, stop) => {
    const span = spans.begin("POST", {
      kind: SpanKind.CLIENT,
      parent: spans.extract({ traceparent: message.trace ?? undefined }),
      attributes: {
        [ATTR_HTTP_REQUEST_METHOD]: "POST",
        ...(message.attempts > 1 ? { [ATTR_HTTP_REQUEST_RESEND_COUNT]: message.attempts - 1 } : {}),
        ...hostOf(message.url),
        "taskmaster.webhook.id": message.webhookId,
        "taskmaster.webhook.message.id": message.id,
      },
    });
    const headers = { ...message.headers, traceparent: span.traceparent };
    const outcome = await span.run(() => send({ ...message, headers }, stop));
    if (outcome.kind !== "answered") {
      span.end({ [ATTR_ERROR_TYPE]: outcome.kind }, true);
      return outcome;
    }
    const { status } = outcome;
    const failed = status >= 400;
    span.end(
      {
        [ATTR_HTTP_RESPONSE_STATUS_CODE]: status,
        ...(failed ? { [ATTR_ERROR_TYPE]: String(status) } : {}),
      },
      failed,
    );
    return outcome;
  };
}

/** A span a question to the language model, by the conventions for such; nothing of what is asked or answered. */
export function observeModel(
  model: LanguageModel,
  { name, baseUrl }: { name: string; baseUrl: string },
  spans: Spans,
): LanguageModel {
  const attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": name,
    ...hostOf(baseUrl),
  };
  return {
    ...model,
    answer: (question) =>
      spans.within(
        `chat ${name}`,
        { kind: SpanKind.CLIENT, attributes },
        () => model.answer(question),
        (error) => ({ [ATTR_ERROR_TYPE]: error instanceof AppError ? error.code : "_OTHER" }),
      ),
  };
}

function hostOf(text: string): Attributes {
  const url = new URL(text);
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  return {
    [ATTR_SERVER_ADDRESS]: url.hostname,
    [ATTR_SERVER_PORT]: port,
    [ATTR_URL_SCHEME]: url.protocol.slice(0, -1),
  };
}
