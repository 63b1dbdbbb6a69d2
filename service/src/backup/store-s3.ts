import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { AppError } from "../core/errors.ts";
import {
  assertBackupId,
  assertFileName,
  isBackupId,
  manifestName,
  newBackupId,
  startOf,
} from "./manifest.ts";
import { isMissingKey, nameOf, type Place, s3Fault } from "./s3-faults.ts";
import { type BackupStore, type S3Options, type StoredFile, textLimit } from "./store.ts";
import { giveOut, takeIn } from "./streams.ts";

/** Bytes of one part; as many as `atOnce` are on their way while the next is gathered, so that a write takes 15 MB; no less, by S3's rule. */
const partSize = 5 * 1024 * 1024;
const atOnce = 2;
/** S3's own limit, so 48 GiB a file. */
const mostParts = 10_000;

export interface S3Limits {
  attempts: number;
  connectSeconds: number;
  /** How long a server may be silent. Four attempts of it make the minute after which a hanging server is given up. */
  idleSeconds: number;
  /** The longest that clearing up after a failed write may take. */
  cleanupSeconds: number;
}

const defaultLimits: S3Limits = { attempts: 4, connectSeconds: 10, idleSeconds: 15, cleanupSeconds: 10 };

/**
 * Backups in S3, or what speaks its protocol. Credentials come as for every AWS tool: the environment, a profile, a web
 * identity, the machine's role. Throws AppError for an endpoint that is no URL. A reader that pauses for longer than
 * idleSeconds loses its connection, so bodies are stored first and worked on then.
 */
export function openS3Store(options: S3Options, limits: S3Limits = defaultLimits): BackupStore {
  const bucket = options.bucket;
  const top = options.prefix.replace(/^\/+|\/+$/g, "");
  const prefix = top === "" ? "" : `${top}/`;
  const place = `s3://${bucket}${top === "" ? "" : `/${top}`}`;
  const endpoint = readEndpoint(options.endpoint);
  const client = new S3Client({
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    maxAttempts: limits.attempts,
    retryMode: "standard",
    requestHandler: {
      connectionTimeout: limits.connectSeconds * 1000,
      // Of silence, not in all: a slow line may take its time for a part.
      socketTimeout: limits.idleSeconds * 1000,
    },
    // Asking first makes a connection of its own for every part, one that close() would not end.
    expectContinueHeader: false,
  });
  const where: Place = { bucket, endpoint: endpoint ?? "Amazon S3", attempts: limits.attempts };

  const keyOf = (id: string, name: string): string => {
    assertBackupId(id);
    assertFileName(name);
    return `${prefix}${id}/${name}`;
  };
  const rootKey = (name: string): string => {
    assertFileName(name);
    if (name.includes("/") || isBackupId(name))
      throw new AppError("invalid_input", `${JSON.stringify(name)} cannot be a file beside the backups.`);
    return `${prefix}${name}`;
  };

  const attempt = async <T>(doing: string, key: string, run: () => Promise<T>): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      throw s3Fault(error, doing, key, where);
    }
  };

  async function* objects(under: string): AsyncGenerator<StoredFile> {
    let token: string | undefined;
    do {
      const page = await attempt("list", under, () =>
        client.send(
          new ListObjectsV2Command({
            Bucket: bucket,
            Prefix: under,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        ),
      );
      for (const object of page.Contents ?? [])
        if (object.Key !== undefined) yield { name: object.Key, bytes: object.Size ?? 0 };
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  /** Of one key, or of all keys under the prefix; a prefix is not asked for, since MinIO takes it for a whole key. */
  async function* uploads(key: string | undefined, signal?: AbortSignal) {
    let marker: { KeyMarker: string; UploadIdMarker: string } | undefined;
    do {
      const page = await attempt("list the incomplete uploads of", key ?? prefix, () =>
        client.send(
          new ListMultipartUploadsCommand({
            Bucket: bucket,
            ...(key === undefined ? {} : { Prefix: key }),
            ...marker,
          }),
          signal === undefined ? {} : { abortSignal: signal },
        ),
      );
      for (const { Key: found, UploadId: uploadId } of page.Uploads ?? []) {
        if (found === undefined || uploadId === undefined) continue;
        if (key === undefined ? found.startsWith(prefix) : found === key) yield { key: found, uploadId };
      }
      marker =
        page.IsTruncated === true && page.NextKeyMarker !== undefined
          ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker ?? "" }
          : undefined;
    } while (marker !== undefined);
  }

  const abortUpload = async (key: string, uploadId: string, signal?: AbortSignal): Promise<void> => {
    await attempt("remove the incomplete upload of", key, () =>
      client
        .send(
          new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }),
          signal === undefined ? {} : { abortSignal: signal },
        )
        .catch((error: unknown) => {
          if (nameOf(error) !== "NoSuchUpload") throw error;
        }),
    );
  };

  /** One by one, eight at a time: not every server that speaks S3 knows how to delete many at once. */
  const removeKeys = async (keys: string[], signal?: AbortSignal): Promise<void> => {
    for (let start = 0; start < keys.length; start += 8) {
      await Promise.all(
        keys
          .slice(start, start + 8)
          .map((key) =>
            attempt("remove", key, () =>
              client.send(
                new DeleteObjectCommand({ Bucket: bucket, Key: key }),
                signal === undefined ? {} : { abortSignal: signal },
              ),
            ),
          ),
      );
    }
  };

  const putText = async (key: string, text: string): Promise<void> => {
    await attempt("write", key, () =>
      client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: key,
          Body: Buffer.from(text),
          ContentType: key.endsWith(".json") ? "application/json" : "text/plain; charset=utf-8",
        }),
      ),
    );
  };

  const open = async (key: string, signal?: AbortSignal): Promise<{ body: Readable; bytes: number }> => {
    const answer = await attempt("read", key, () =>
      client.send(
        new GetObjectCommand({ Bucket: bucket, Key: key }),
        signal === undefined ? {} : { abortSignal: signal },
      ),
    );
    const body = answer.Body;
    if (body === undefined || !("pipe" in body) || answer.ContentLength === undefined)
      throw new AppError(
        "unavailable",
        `${where.endpoint} answered without a body for s3://${bucket}/${key}.`,
      );
    return { body: body as Readable, bytes: answer.ContentLength };
  };

  const guard = (body: Readable, bytes: number, key: string, signal?: AbortSignal) =>
    giveOut(body, bytes, `s3://${bucket}/${key}`, (error) => s3Fault(error, "read", key, where), signal);

  const readWhole = async (key: string): Promise<string | undefined> => {
    const found = await open(key).catch((error: unknown) => {
      if (error instanceof AppError && error.code === "not_found" && isMissingKey(error.cause))
        return undefined;
      throw error;
    });
    if (found === undefined) return undefined;
    if (found.bytes > textLimit) {
      found.body.destroy();
      throw new AppError(
        "too_large",
        `s3://${bucket}/${key} has ${found.bytes} bytes, and no such file of ours has more than ${textLimit}; it is not what it seems.`,
      );
    }
    const chunks: Buffer[] = [];
    for await (const chunk of guard(found.body, found.bytes, key)) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  };

  /**
   * In parts, of buffers that are used again and again: @aws-sdk/lib-storage makes new ones for each part, which took
   * 100 MB more, and it cannot end a part that is on its way when the write is aborted.
   */
  const upload = async (key: string, stream: Readable, signal?: AbortSignal): Promise<void> => {
    const failed = new AbortController();
    const abortSignal = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    const send = { abortSignal };
    const target = { Bucket: bucket, Key: key };
    const checksum =
      (await client.config.requestChecksumCalculation()) === "WHEN_SUPPORTED"
        ? ({ ChecksumAlgorithm: "CRC32" } as const)
        : {};
    const free: Buffer<ArrayBuffer>[] = [];
    const parts: CompletedPart[] = [];
    const onTheirWay = new Set<Promise<void>>();
    let uploadId: string | undefined;
    let count = 0;

    const sendPart = async (bytes: Buffer<ArrayBuffer>, used: number): Promise<void> => {
      if (uploadId === undefined) {
        const created = await client.send(new CreateMultipartUploadCommand({ ...target, ...checksum }), send);
        uploadId = created.UploadId;
      }
      count += 1;
      if (count > mostParts) throw tooLarge(`s3://${bucket}/${key}`);
      const part = { ...target, UploadId: uploadId, PartNumber: count };
      const sending = client
        .send(new UploadPartCommand({ ...part, ...checksum, Body: bytes.subarray(0, used) }), send)
        .then(({ ETag, ChecksumCRC32 }) => {
          parts.push({
            PartNumber: part.PartNumber,
            ETag,
            ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }),
          });
          free.push(bytes);
          onTheirWay.delete(sending);
        });
      onTheirWay.add(sending);
      sending.catch((error: unknown) => {
        // It may be waiting for its next bytes, which may take for ever.
        stream.destroy(s3Fault(error, "write", key, where) as Error);
      });
      if (onTheirWay.size >= atOnce) await Promise.race(onTheirWay);
    };

    let bytes = Buffer.allocUnsafeSlow(partSize);
    let used = 0;
    await attempt("write", key, async () => {
      try {
        for await (const chunk of stream) {
          for (let at = 0; at < chunk.length; ) {
            if (used === partSize) {
              await sendPart(bytes, used);
              bytes = free.pop() ?? Buffer.allocUnsafeSlow(partSize);
              used = 0;
            }
            const copied = chunk.copy(bytes, used, at);
            used += copied;
            at += copied;
          }
        }
        if (uploadId === undefined && used < partSize) {
          await client.send(new PutObjectCommand({ ...target, Body: bytes.subarray(0, used) }), send);
          return;
        }
        await sendPart(bytes, used);
        await Promise.all(onTheirWay);
        parts.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
        await client.send(
          new CompleteMultipartUploadCommand({
            ...target,
            UploadId: uploadId,
            MultipartUpload: { Parts: parts },
          }),
          send,
        );
      } catch (error) {
        failed.abort();
        // Whatever is on its way must have ended before its upload is cleared away.
        await Promise.allSettled(onTheirWay);
        throw error;
      }
    });
  };

  /** Takes away what a failed write may have left: parts that cost money unseen, or the object of a lost answer. */
  const clearUp = async (key: string): Promise<void> => {
    const signal = AbortSignal.timeout(limits.cleanupSeconds * 1000);
    const abortAll = async () => {
      for await (const upload of uploads(key, signal)) await abortUpload(key, upload.uploadId, signal);
    };
    await Promise.allSettled([abortAll(), removeKeys([key], signal)]);
  };

  /** The ids found by `idOf` in keys, without double; oldest first. */
  const idsIn = (keys: Iterable<string>): string[] =>
    [...new Set([...keys].map((key) => key.slice(prefix.length).split("/")[0] ?? ""))]
      .filter(isBackupId)
      .sort();

  const keysUnder = async (under: string): Promise<string[]> => {
    const keys: string[] = [];
    for await (const object of objects(under)) keys.push(object.name);
    return keys;
  };
  const isManifest = (key: string): boolean => {
    const segments = key.slice(prefix.length).split("/");
    return segments.length === 2 && segments[1] === manifestName;
  };

  return {
    place,

    async check() {
      const probe = `${prefix}.check-${newBackupId(new Date())}`;
      await putText(probe, "Made by a check of whether backups can be written here; safe to remove.\n");
      await removeKeys([probe]);
      await attempt("list", prefix, () =>
        client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1 })),
      );
    },

    async list() {
      return idsIn((await keysUnder(prefix)).filter(isManifest));
    },

    async listIncomplete() {
      // The uploads first: one that completes between the two is then still among the objects.
      const keys: string[] = [];
      for await (const upload of uploads(undefined)) keys.push(upload.key);
      keys.push(...(await keysUnder(prefix)));
      const complete = new Set(idsIn(keys.filter(isManifest)));
      return idsIn(keys.filter((key) => key.slice(prefix.length).includes("/")))
        .filter((id) => !complete.has(id))
        .map((id) => ({ id, startedAt: startOf(id) }));
    },

    async files(id) {
      assertBackupId(id);
      const under = `${prefix}${id}/`;
      const found: StoredFile[] = [];
      for await (const object of objects(under))
        found.push({ name: object.name.slice(under.length), bytes: object.bytes });
      return found.sort((a, b) => (a.name < b.name ? -1 : 1));
    },

    async read(id, name, signal) {
      const key = keyOf(id, name);
      try {
        signal?.throwIfAborted();
        const { body, bytes } = await open(key, signal);
        return guard(body, bytes, key, signal);
      } catch (error) {
        throw signal?.aborted === true ? signal.reason : error;
      }
    },

    async readText(id, name) {
      return await readWhole(keyOf(id, name));
    },

    async write(id, name, body, signal) {
      const intake = takeIn(body, signal);
      let begun: string | undefined;
      try {
        signal?.throwIfAborted();
        const key = keyOf(id, name);
        // Clearing up after a failure removes the object, which must then be none that was there before.
        if ((await keysUnder(key)).includes(key)) throw taken(`s3://${bucket}/${key}`);
        signal?.throwIfAborted();
        begun = key;
        await upload(key, intake.stream, signal);
      } catch (error) {
        const cause = intake.cause(error);
        intake.destroy();
        if (begun !== undefined) await clearUp(begun);
        throw cause;
      }
    },

    async writeText(id, name, text) {
      await putText(keyOf(id, name), text);
    },

    async writeRoot(name, text) {
      await putText(rootKey(name), text);
    },

    async readRoot(name) {
      return await readWhole(rootKey(name));
    },

    async remove(id) {
      assertBackupId(id);
      const under = `${prefix}${id}/`;
      await removeKeys([`${under}${manifestName}`]);
      for await (const { key, uploadId } of uploads(undefined))
        if (key.startsWith(under)) await abortUpload(key, uploadId);
      await removeKeys(await keysUnder(under));
    },

    async close() {
      client.destroy();
    },
  };
}

function readEndpoint(text: string | null): string | undefined {
  if (text === null) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // Never shown as it is: a password may stand in it.
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new AppError(
      "invalid_input",
      "The S3 endpoint must be a URL that starts with http:// or https:// and holds no user or password; give those as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    );
  }
  return url.href.replace(/\/+$/, "");
}

function tooLarge(target: string): AppError {
  return new AppError(
    "too_large",
    `${target} has more than ${mostParts * partSize} bytes, and S3 takes no more in parts of ${partSize}; back up to a folder.`,
  );
}

function taken(target: string): AppError {
  return new AppError(
    "conflict",
    `${target} is there already, and a backup's file is written once; start a new backup.`,
  );
}
