import { expect, test } from "vitest";
import { openStore } from "../../../src/backup/open-store.ts";
import { isMissingKey, s3Fault } from "../../../src/backup/s3-faults.ts";
import { AppError } from "../../../src/core/errors.ts";

const where = { bucket: "box", endpoint: "http://127.0.0.1:9000", attempts: 4 };

/** In the shape that the SDK gives its errors. */
function sdkError(name: string, status?: number, more: object = {}): Error {
  const $metadata = status === undefined ? {} : { httpStatusCode: status };
  return Object.assign(new Error("the server's own text, with what was sent"), { name, $metadata, ...more });
}

test.each([
  [sdkError("CredentialsProviderError"), "unauthenticated", /AWS_ACCESS_KEY_ID/],
  [sdkError("TokenProviderError"), "unauthenticated", /give the pod a role/],
  [new Error("Region is missing"), "invalid_input", /set AWS_REGION/],
  [sdkError("PermanentRedirect", 301), "invalid_input", /another region \(PermanentRedirect, HTTP 301\)/],
  [sdkError("InvalidAccessKeyId", 403), "unauthenticated", /does not accept the credentials/],
  [sdkError("SignatureDoesNotMatch", 403), "unauthenticated", /AWS_SECRET_ACCESS_KEY/],
  [sdkError("RequestTimeTooSkewed", 403), "unavailable", /clock is wrong/],
  [sdkError("NoSuchBucket", 404), "not_found", /no bucket box/],
  [sdkError("InvalidBucketName", 400), "invalid_input", /bucket and prefix/],
  [sdkError("NoSuchKey", 404), "not_found", /no such object/],
  [sdkError("XMinioStorageFull", 507), "unavailable", /no room left/],
  [sdkError("AccessDenied", 403), "forbidden", /s3:PutObject/],
  [sdkError("Error", 401), "forbidden", /access is denied \(HTTP 401\)/],
  [
    sdkError("TimeoutError", undefined, { code: "ECONNRESET" }),
    "unavailable",
    /connection was cut.*\(ECONNRESET, in 4/,
  ],
  [sdkError("Error", undefined, { code: "ECONNREFUSED" }), "unavailable", /nothing listens there/],
  [sdkError("Error", undefined, { code: "ENOTFOUND" }), "unavailable", /name is not known/],
  [sdkError("Error", undefined, { code: "EHOSTUNREACH" }), "unavailable", /no way to it/],
  [sdkError("Error", undefined, { cause: { code: "EPIPE" } }), "unavailable", /connection was cut/],
  [
    new AggregateError([sdkError("Error", undefined, { code: "ECONNREFUSED" })]),
    "unavailable",
    /nothing listens/,
  ],
  [sdkError("TimeoutError"), "unavailable", /does not answer, in 4 attempts/],
  [sdkError("InternalError", 500), "unavailable", /fault of its own \(InternalError, HTTP 500/],
  [sdkError("SlowDown", 429), "unavailable", /fault of its own/],
  [sdkError("Teapot", 418), "unavailable", /it was refused \(Teapot, HTTP 418\)/],
])("%s has a sentence of its own, with the place and the way out", (error, code, sentence) => {
  const fault = s3Fault(error, "write", "a/b", where);
  expect(fault).toBeInstanceOf(AppError);
  expect(fault).toMatchObject({ code, message: expect.stringMatching(sentence), cause: error });
  expect(String(fault)).toContain("Cannot write s3://box/a/b at http://127.0.0.1:9000: ");
  // It may show what was sent.
  expect(String(fault)).not.toContain("the server's own text");
});

test("a refusal of ours stays as it is, and a missing key is told from a missing bucket", () => {
  const own = new AppError("conflict", "x");
  expect(s3Fault(own, "read", "a", where)).toBe(own);
  expect(isMissingKey(sdkError("NoSuchKey", 404))).toBe(true);
  expect(isMissingKey(sdkError("NoSuchBucket", 404))).toBe(false);
  expect(isMissingKey("NoSuchKey")).toBe(false);
});

test.each(["ftp://127.0.0.1", "http://user:secret@127.0.0.1", "nonsense"])(
  "the endpoint %s is refused without being shown",
  async (endpoint) => {
    const opening = openStore({ kind: "s3", bucket: "box", prefix: "", endpoint });
    await expect(opening).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.not.stringContaining(endpoint),
    });
  },
);
