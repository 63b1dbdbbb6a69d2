import { AppError } from "../core/errors.ts";

/** Where something went wrong, for the sentence about it. */
export interface Place {
  bucket: string;
  endpoint: string;
  attempts: number;
}

export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function member(error: unknown, name: string): unknown {
  return typeof error === "object" && error !== null && name in error
    ? (error as Record<string, unknown>)[name]
    : undefined;
}

function statusOf(error: unknown): number | undefined {
  const status = member(member(error, "$metadata"), "httpStatusCode");
  return typeof status === "number" ? status : undefined;
}

/** Also of the first of several addresses that were tried, and of the cause. */
function networkCode(error: unknown, depth = 0): string | undefined {
  const code = member(error, "code");
  if (
    typeof code === "string" &&
    /^(E[A-Z_]+|CERT_[A-Z_]+|[A-Z_]*(SELF_SIGNED|UNABLE_TO)[A-Z_]*)$/.test(code)
  )
    return code;
  const inner = error instanceof AggregateError ? error.errors[0] : member(error, "cause");
  return inner === undefined || depth > 4 ? undefined : networkCode(inner, depth + 1);
}

export function isMissingKey(error: unknown): boolean {
  return ["NoSuchKey", "NotFound"].includes(nameOf(error));
}

const wrongCredentials = new Set([
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "InvalidToken",
  "TokenRefreshRequired",
  "AuthorizationHeaderMalformed",
]);
const noRoom = new Set([
  "QuotaExceeded",
  "XMinioStorageFull",
  "XMinioAdminBucketQuotaExceeded",
  "StorageFull",
]);

/**
 * What went wrong with S3 as an AppError: the bucket and key, the HTTP status or the network's fault, and the way out. The
 * server's own text is left out, for it may show what was sent.
 */
export function s3Fault(error: unknown, doing: string, key: string, where: Place): unknown {
  if (error instanceof AppError) return error;
  const name = nameOf(error);
  const status = statusOf(error);
  const target = `s3://${where.bucket}/${key}`;
  const said = [
    ...(name === "" || name === "Error" ? [] : [name]),
    ...(status === undefined ? [] : [`HTTP ${status}`]),
  ];
  const head = `Cannot ${doing} ${target} at ${where.endpoint}`;
  const fault = (code: ConstructorParameters<typeof AppError>[0], sentence: string) =>
    new AppError(code, `${head}: ${sentence}`, { cause: error });

  if (name === "CredentialsProviderError" || name === "TokenProviderError") {
    return fault(
      "unauthenticated",
      "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the pod a role.",
    );
  }
  if (error instanceof Error && error.message === "Region is missing")
    return fault(
      "invalid_input",
      "no region is set; set AWS_REGION (us-east-1 suits most servers that are not Amazon's).",
    );
  if (name === "PermanentRedirect" || name === "IllegalLocationConstraintException" || status === 301) {
    return fault(
      "invalid_input",
      `the bucket lies in another region (${said.join(", ")}); set AWS_REGION to the bucket's own.`,
    );
  }
  if (wrongCredentials.has(name)) {
    return fault(
      "unauthenticated",
      `the server does not accept the credentials (${said.join(", ")}); see to AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and that AWS_REGION is the bucket's.`,
    );
  }
  if (name === "RequestTimeTooSkewed" || name === "RequestExpired")
    return fault(
      "unavailable",
      `this machine's clock is wrong (${said.join(", ")}); set it, and run it again.`,
    );
  if (name === "NoSuchBucket")
    return fault(
      "not_found",
      `there is no bucket ${where.bucket} (${said.join(", ")}); make it, or name another one.`,
    );
  if (name === "InvalidBucketName" || name === "InvalidArgument")
    return fault(
      "invalid_input",
      `the server does not take this name (${said.join(", ")}); see to the bucket and prefix.`,
    );
  if (isMissingKey(error))
    return fault(
      "not_found",
      `there is no such object (${said.join(", ")}); "backup list" shows which backups are whole.`,
    );
  if (noRoom.has(name) || status === 507)
    return fault(
      "unavailable",
      `there is no room left (${said.join(", ")}); free some, such as by "backup prune".`,
    );
  if (status === 401 || status === 403) {
    return fault(
      "forbidden",
      `access is denied (${said.join(", ")}); these credentials need s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucketMultipartUploads and s3:AbortMultipartUpload.`,
    );
  }
  // Before the names: the SDK calls a connection that was cut a TimeoutError too.
  const code = networkCode(error);
  if (code !== undefined && status === undefined)
    return fault("unavailable", `${networkSentence(code)} (${code}, in ${where.attempts} attempts).`);
  if (name === "TimeoutError" || name === "AbortError" || name === "RequestTimeout") {
    return fault(
      "unavailable",
      `the server does not answer, in ${where.attempts} attempts; see to the endpoint and the network, and run it again.`,
    );
  }
  if (status === 429 || (status !== undefined && status >= 500)) {
    return fault(
      "unavailable",
      `the server has a fault of its own (${said.join(", ")}, in ${where.attempts} attempts); see to its logs, and run it again.`,
    );
  }
  return fault(
    "unavailable",
    `it was refused (${said.join(", ") || String(error)}); see to the server's logs.`,
  );
}

function networkSentence(code: string): string {
  switch (code) {
    case "ECONNREFUSED":
      return "nothing listens there; see to the endpoint's host and port, and that the server runs";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "that name is not known; see to the endpoint's host name and to DNS";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
      return "there is no way to it; see to the endpoint and the network";
    case "ECONNRESET":
    case "EPIPE":
      return "the connection was cut; see to the network, and run it again";
    default:
      return "no safe connection can be made; see to the server's certificate and NODE_EXTRA_CA_CERTS";
  }
}
