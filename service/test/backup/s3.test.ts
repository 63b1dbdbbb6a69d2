import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { checkFiles } from "../../src/backup/check-files.ts";
import { manifestName, marksName, newBackupId } from "../../src/backup/manifest.ts";
import { openStore } from "../../src/backup/open-store.ts";
import type { BackupStore } from "../../src/backup/store.ts";
import { openS3Store, type S3Limits } from "../../src/backup/store-s3.ts";
import {
  backupStoreContract,
  brokenBody,
  bytesOf,
  refusal,
  sha256,
} from "../support/backup-store-contract.ts";
import { storeBackup } from "../support/backups.ts";

const endpoint = given("TEST_S3_ENDPOINT");
const bucket = given("TEST_S3_BUCKET");
const secret = given("AWS_SECRET_ACCESS_KEY");
const region = "us-east-1";
const run = randomBytes(4).toString("hex");
/** The same four attempts, with less patience. */
const hasty: S3Limits = { attempts: 4, connectSeconds: 1, idleSeconds: 1, cleanupSeconds: 4 };
const mebibyte = 1024 * 1024;

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`Set ${name}; these tests speak to a real S3 server.`);
  return value;
}

const direct = new S3Client({ endpoint, region, forcePathStyle: true });
beforeAll(async () => {
  await direct.send(new CreateBucketCommand({ Bucket: bucket })).catch((error: Error) => {
    if (error.name !== "BucketAlreadyOwnedByYou") throw error;
  });
});
afterAll(async () => {
  for (;;) {
    const page = await direct.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: `${run}/` }));
    for (const { Key } of page.Contents ?? [])
      if (Key !== undefined) await direct.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
    if (page.IsTruncated !== true) break;
  }
  direct.destroy();
});

async function pendingUploads(prefix: string): Promise<string[]> {
  const page = await direct.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return (page.Uploads ?? []).flatMap(({ Key }) => (Key?.startsWith(prefix) === true ? [Key] : []));
}

let second = 0;
const newId = () => newBackupId(new Date(Date.UTC(2026, 10, 25) + 1000 * second++));
const body = (bytes: Buffer) =>
  Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
    })(),
    { objectMode: false },
  );

backupStoreContract("S3", async () => {
  const options = { kind: "s3", bucket, prefix: `/${run}/contract/`, endpoint } as const;
  const store = await openStore(options);
  return { store, again: () => openS3Store(options), close: async () => await store.close() };
});

describe("S3", () => {
  const prefix = `${run}/own`;
  const options = { kind: "s3", bucket, prefix, endpoint } as const;
  let store: BackupStore;
  beforeAll(() => {
    store = openS3Store(options);
  });
  afterAll(async () => {
    await store.close();
  });

  test("40 MB go in parts and come back, in little memory", async () => {
    const id = newId();
    const bytes = randomBytes(40_000_000);
    await store.write(id, "data/1.dat", body(bytes));
    expect(await store.files(id)).toEqual([{ name: "data/1.dat", bytes: 40_000_000 }]);
    expect(sha256(await bytesOf(await store.read(id, "data/1.dat")))).toBe(sha256(bytes));
    expect(await pendingUploads(prefix)).toEqual([]);
  });

  test("300 MB take no more memory than a few parts do", async () => {
    const id = newId();
    const chunk = randomBytes(65_536);
    let made = 0;
    const source = new Readable({
      read() {
        made++;
        this.push(made > 4800 ? null : chunk);
      },
    });
    const before = process.memoryUsage().rss;
    let most = before;
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 20);
    await store.write(id, "data/1.dat", source);
    clearInterval(timer);
    console.log(`wrote 315 MB to S3; RSS grew ${Math.round((most - before) / 1e6)} MB`);
    expect(most - before).toBeLessThan(80_000_000);
    await store.remove(id);
  }, 120_000);

  test("more objects than one page of a listing are listed, and removed", async () => {
    const many = openS3Store({ ...options, prefix: `${prefix}-many` });
    const id = newId();
    for (let start = 0; start < 1100; start += 50) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const Key = `${prefix}-many/${id}/data/${start + i}.dat`;
          await direct.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "x" }));
        }),
      );
    }
    await many.writeText(id, manifestName, "{}");
    expect(await many.files(id)).toHaveLength(1101);
    expect(await many.list()).toEqual([id]);
    await many.remove(id);
    expect(await many.files(id)).toEqual([]);
    await many.close();
  });

  test("an upload that a kill left makes its backup incomplete, and goes with it", async () => {
    const id = newId();
    const Key = `${prefix}/${id}/data/1.dat`;
    await direct.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    expect((await store.listIncomplete()).map((found) => found.id)).toContain(id);
    expect(await store.list()).not.toContain(id);
    await store.remove(id);
    expect(await pendingUploads(Key)).toEqual([]);
    expect((await store.listIncomplete()).map((found) => found.id)).not.toContain(id);
  });

  test("a body that fails after some parts, and an abort, leave no upload", async () => {
    const id = newId();
    const broken = new Error("pg_dump was killed");
    await expect(store.write(id, "data/1.dat", brokenBody(20_000_000, broken))).rejects.toBe(broken);
    const abort = new AbortController();
    const writing = store.write(id, "data/2.dat", brokenBody(20_000_000, "hangs"), abort.signal);
    await expect.poll(async () => (await pendingUploads(prefix)).length).toBe(1);
    abort.abort(new Error("Ctrl+C"));
    await expect(writing).rejects.toThrow("Ctrl+C");
    expect(await pendingUploads(prefix)).toEqual([]);
    expect(await store.files(id)).toEqual([]);
  });

  test("the files of a whole backup are checked", async () => {
    const id = newId();
    const manifest = await storeBackup(store, id, new Map([["data/1.dat", randomBytes(100_000)]]));
    await checkFiles(store, manifest);
    await direct.send(
      new PutObjectCommand({ Bucket: bucket, Key: `${prefix}/${id}/data/1.dat`, Body: randomBytes(100_000) }),
    );
    expect((await refusal(checkFiles(store, manifest))).message).toContain("data/1.dat has the SHA-256");
    await direct.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${prefix}/${id}/data/1.dat` }));
    expect((await refusal(checkFiles(store, manifest))).message).toContain("data/1.dat is missing");
    await store.remove(id);
  });

  describe("what an operator can mend has its own sentence", () => {
    const faultOf = async (change: Partial<typeof options>, env: Record<string, string> = {}) => {
      const saved = { ...process.env };
      Object.assign(process.env, env);
      const other = openS3Store({ ...options, ...change } as typeof options, hasty);
      try {
        const error = await refusal(other.check());
        expect(error.message).toContain(`s3://${change.bucket ?? bucket}/`);
        expect(error.message).not.toContain(env.AWS_SECRET_ACCESS_KEY || secret);
        return error;
      } finally {
        process.env = saved;
        await other.close();
      }
    };

    test("no bucket", async () => {
      const error = await faultOf({ bucket: "no-such-bucket-here" });
      expect(error.code).toBe("not_found");
      expect(error.message).toMatch(/no bucket no-such-bucket-here.*HTTP 404.*make it/);
    });

    test("a wrong key and a wrong secret", async () => {
      for (const env of [{ AWS_ACCESS_KEY_ID: "nobody" }, { AWS_SECRET_ACCESS_KEY: "not-the-secret" }]) {
        const error = await faultOf({}, env);
        expect(error.code).toBe("unauthenticated");
        expect(error.message).toMatch(/does not accept the credentials.*HTTP 403.*AWS_ACCESS_KEY_ID/);
      }
    });

    test("no credentials at all", async () => {
      const none = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "", AWS_EC2_METADATA_DISABLED: "true" };
      const error = await faultOf(
        {},
        { ...none, AWS_SHARED_CREDENTIALS_FILE: "/dev/null", AWS_CONFIG_FILE: "/dev/null" },
      );
      expect(error.code).toBe("unauthenticated");
      expect(error.message).toContain("there are no credentials");
    });

    test("nothing that listens, no such host, an endpoint that is none", async () => {
      const closed = await faultOf({ endpoint: "http://127.0.0.1:9" });
      expect(closed.code).toBe("unavailable");
      expect(closed.message).toMatch(/at http:\/\/127\.0\.0\.1:9: nothing listens there.*ECONNREFUSED/);
      const unknown = await faultOf({ endpoint: "http://no-such-host.invalid" });
      expect(unknown.message).toMatch(/name is not known/);
      for (const wrong of ["minio:9000", "http://user:hush@minio:9000", "ftp://minio", ""]) {
        const error = await refusal((async () => openS3Store({ ...options, endpoint: wrong }))());
        expect(error.code).toBe("invalid_input");
        expect(error.message).not.toContain("hush");
      }
    });
  });
});

type Fault = (incoming: IncomingMessage, outgoing: ServerResponse, forward: () => void) => void;

/** A proxy before the real server that does to each request what `fault` says. */
interface Proxy {
  url: string;
  fault: Fault;
  /** Method and query of every request, in order. */
  seen: string[];
  close(): Promise<void>;
}

async function openProxy(): Promise<Proxy> {
  const upstream = new URL(endpoint);
  const server: Server = createServer((incoming, outgoing) => {
    proxy.seen.push(`${incoming.method} ${incoming.url?.replace(/^[^?]*/, "")}`);
    incoming.on("error", () => undefined);
    const forward = () => {
      const passed = request(
        {
          host: upstream.hostname,
          port: upstream.port,
          method: incoming.method ?? "GET",
          path: incoming.url ?? "/",
          headers: incoming.headers,
        },
        (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        },
      );
      passed.on("error", () => outgoing.destroy());
      incoming.pipe(passed);
    };
    proxy.fault(incoming, outgoing, forward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: (_incoming, _outgoing, forward) => forward(),
    seen: [],
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

describe("S3 that misbehaves", () => {
  const prefix = `${run}/bad`;
  let proxy: Proxy;
  let store: BackupStore;
  let id: string;
  beforeEach(async () => {
    proxy = await openProxy();
    id = newId();
    store = openS3Store({ kind: "s3", bucket, prefix, endpoint: proxy.url }, hasty);
  });
  afterEach(async () => {
    await store.close();
    await proxy.close();
    expect(await pendingUploads(prefix)).toEqual([]);
  });

  const answer500: Fault = (incoming, outgoing) => {
    incoming.resume();
    incoming.on("end", () => outgoing.writeHead(500).end());
  };
  /** Lets a megabyte of the request in, and then cuts the connection. */
  const cutRequest: Fault = (incoming) => {
    let bytes = 0;
    incoming.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > mebibyte) incoming.socket.destroy();
    });
  };
  const hang: Fault = (incoming) => void incoming.resume();
  const isPart = (incoming: IncomingMessage) =>
    incoming.method === "PUT" && incoming.url?.includes("partNumber=") === true;
  /** The first `times` requests that match meet the fault, all others pass. */
  const meet = (
    fault: Fault,
    which: (incoming: IncomingMessage) => boolean,
    times = Number.POSITIVE_INFINITY,
  ) => {
    let left = times;
    proxy.fault = (incoming, outgoing, forward) => {
      if (which(incoming) && left > 0) {
        left--;
        fault(incoming, outgoing, forward);
      } else forward();
    };
  };
  const everything = () => true;
  const large = randomBytes(30_000_000);

  /** That a write fails with a sentence, within a time, and that nothing of it is left or listed. */
  const fails = async (sentence: RegExp): Promise<void> => {
    const started = Date.now();
    const source = body(large);
    const error = await refusal(store.write(id, "data/1.dat", source));
    expect(error.code).toBe("unavailable");
    expect(error.message).toMatch(sentence);
    expect(error.message).toContain(`s3://${bucket}/${prefix}/${id}/data/1.dat at ${proxy.url}`);
    expect(error.message).not.toContain(secret);
    expect(Date.now() - started).toBeLessThan(20_000);
    expect(source.destroyed).toBe(true);
    proxy.fault = (_incoming, _outgoing, forward) => forward();
    expect(await store.files(id)).toEqual([]);
    expect(await store.list()).toEqual([]);
    expect(await store.listIncomplete()).toEqual([]);
    expect(await pendingUploads(prefix)).toEqual([]);
  };
  const works = async (): Promise<void> => {
    await store.write(id, "data/1.dat", body(large));
    expect(sha256(await bytesOf(await store.read(id, "data/1.dat")))).toBe(sha256(large));
    await store.remove(id);
  };

  test("500 to everything", async () => {
    meet(answer500, everything);
    await fails(/HTTP 500, in 4 attempts/);
    meet(answer500, everything);
    for (const outcome of [
      () => store.check(),
      () => store.list(),
      () => store.read(id, "data/1.dat"),
      () => store.writeText(id, marksName, "{}"),
    ])
      expect((await refusal(outcome())).message).toMatch(/fault of its own \(.*HTTP 500/);
  });

  test("500 to every part", async () => {
    meet(answer500, isPart);
    await fails(/Cannot write .*HTTP 500, in 4 attempts/);
  });

  test("500 to the third part only, as long as it lasts", async () => {
    meet(answer500, (incoming) => incoming.url?.includes("partNumber=3") === true);
    await fails(/HTTP 500/);
  });

  test("500 to the last step", async () => {
    meet(answer500, (incoming) => incoming.method === "POST" && incoming.url?.includes("uploadId=") === true);
    await fails(/HTTP 500/);
  });

  test("500 once to each kind of request is lived through", async () => {
    const met = new Set<string>();
    proxy.fault = (incoming, outgoing, forward) => {
      const kind = `${incoming.method} ${incoming.url?.replace(/=[^&]*/g, "=")}`;
      if (met.has(kind)) return forward();
      met.add(kind);
      answer500(incoming, outgoing, forward);
    };
    await works();
    expect(met.size).toBeGreaterThan(5);
  });

  test("a connection cut in every part", async () => {
    meet(cutRequest, isPart);
    await fails(/connection was cut.*(ECONNRESET|EPIPE)/);
  });

  test("a connection cut in one part once is lived through", async () => {
    meet(cutRequest, isPart, 1);
    await works();
    expect(proxy.seen.filter((line) => line.includes("partNumber=")).length).toBeGreaterThan(4);
  });

  test("the answer to the last step lost, each time, leaves nothing although the server did it", async () => {
    meet(
      (incoming, outgoing, forward) => {
        forward();
        outgoing.writeHead = () => {
          incoming.socket.destroy();
          return outgoing;
        };
      },
      (incoming) => incoming.method === "POST" && incoming.url?.includes("uploadId=") === true,
    );
    const error = await refusal(store.write(id, "data/1.dat", body(large)));
    expect(error.code).toBe("unavailable");
    proxy.fault = (_incoming, _outgoing, forward) => forward();
    expect(await store.files(id)).toEqual([]);
  });

  test("a failed write leaves the uploads of longer names alone, which Amazon lists with it", async () => {
    const key = `${prefix}/${id}/data/1.dat`;
    const uploads = [key, `${key}.gz`].map(
      (name, i) => `<Upload><Key>${name}</Key><UploadId>upload-${i}</UploadId></Upload>`,
    );
    const page = `<ListMultipartUploadsResult>${uploads.join("")}</ListMultipartUploadsResult>`;
    meet(
      (_incoming, outgoing) => void outgoing.writeHead(200, { "content-type": "application/xml" }).end(page),
      (incoming) => incoming.method === "GET" && incoming.url?.includes("uploads=") === true,
    );
    await expect(store.write(id, "data/1.dat", brokenBody(1000, new Error("x")))).rejects.toThrow("x");
    const removed = proxy.seen.filter((line) => line.startsWith("DELETE") && line.includes("uploadId="));
    expect(removed).toHaveLength(1);
    expect(removed[0]).toContain("uploadId=upload-0");
  });

  test("a server that falls silent, from the start and in the parts", async () => {
    meet(hang, everything);
    const started = Date.now();
    const error = await refusal(store.write(id, "data/1.dat", body(large)));
    expect(error.message).toMatch(/does not answer, in 4 attempts/);
    expect(Date.now() - started).toBeLessThan(15_000);
    meet(hang, isPart);
    await fails(/does not answer, in 4 attempts/);
  });

  test("an abort ends a write to a server that is silent, at once", async () => {
    meet(hang, isPart);
    const abort = new AbortController();
    const started = Date.now();
    setTimeout(() => abort.abort(new Error("Ctrl+C")), 500);
    await expect(store.write(id, "data/1.dat", body(large), abort.signal)).rejects.toThrow("Ctrl+C");
    expect(Date.now() - started).toBeLessThan(2500);
    proxy.fault = (_incoming, _outgoing, forward) => forward();
    expect(await store.files(id)).toEqual([]);
  });

  describe("while it is read", () => {
    beforeEach(async () => {
      await store.write(id, "data/1.dat", body(large));
    });
    afterEach(async () => {
      proxy.fault = (_incoming, _outgoing, forward) => forward();
      await store.remove(id);
    });
    /** Sends the first bytes of a body that says it is longer, and then does `end`. */
    const half =
      (end: (outgoing: ServerResponse) => void): Fault =>
      (_incoming, outgoing) => {
        outgoing.writeHead(200, { "content-length": large.length, etag: '"x"' });
        outgoing.write(large.subarray(0, 3_000_000), () => end(outgoing));
      };

    test("a connection cut in the middle is an error, not an end", async () => {
      meet(
        half((outgoing) => void outgoing.destroy()),
        everything,
      );
      const error = await refusal(store.read(id, "data/1.dat").then(bytesOf));
      expect(error.code).toBe("unavailable");
      expect(error.message).toMatch(/Cannot read s3:.*data\/1\.dat.*connection was cut/);
    });

    test("a server that falls silent in the middle is an error in a while", async () => {
      meet(
        half(() => undefined),
        everything,
      );
      const started = Date.now();
      const error = await refusal(store.read(id, "data/1.dat").then(bytesOf));
      expect(error.message).toContain("does not answer");
      expect(Date.now() - started).toBeLessThan(10_000);
    });

    test("a body that ends early, as the server sees it, is an error", async () => {
      meet((_incoming, outgoing) => {
        outgoing.writeHead(200, { "content-length": 1_000_000, etag: '"x"' });
        outgoing.write(large.subarray(0, 500_000));
        setTimeout(() => outgoing.socket?.end(), 50);
      }, everything);
      expect((await refusal(store.read(id, "data/1.dat").then(bytesOf))).code).toBe("unavailable");
    });

    test("a check of the files says that the store failed, not that the backup is damaged", async () => {
      const other = newId();
      const manifest = await storeBackup(
        store,
        other,
        new Map([["data/1.dat", large.subarray(0, 5_000_000)]]),
      );
      meet(
        half((outgoing) => void outgoing.destroy()),
        (incoming) => incoming.url?.includes("x-id=GetObject") === true,
      );
      expect((await refusal(checkFiles(store, manifest))).code).toBe("unavailable");
      proxy.fault = (_incoming, _outgoing, forward) => forward();
      await checkFiles(store, manifest);
      await store.remove(other);
    });
  });

  test.each([
    [
      "a bucket in another region",
      301,
      "PermanentRedirect",
      "invalid_input",
      "set AWS_REGION to the bucket's own",
    ],
    ["another region in the signature", 400, "AuthorizationHeaderMalformed", "unauthenticated", "AWS_REGION"],
    ["credentials that have run out", 400, "ExpiredToken", "unauthenticated", "AWS_SESSION_TOKEN"],
    ["a right that is missing", 403, "AccessDenied", "forbidden", "s3:PutObject"],
    ["a clock that is wrong", 403, "RequestTimeTooSkewed", "unavailable", "clock is wrong"],
    ["a store that is full", 507, "XMinioStorageFull", "unavailable", "no room left"],
    ["too many requests", 503, "SlowDown", "unavailable", "HTTP 503"],
    ["what nobody foresaw", 418, "Teapot", "unavailable", "it was refused (Teapot, HTTP 418)"],
  ])("%s has its own sentence", async (_what, status, name, code, sentence) => {
    meet((incoming, outgoing) => {
      incoming.resume();
      const text = `<?xml version="1.0"?><Error><Code>${name}</Code><Message>key ${secret}</Message></Error>`;
      outgoing.writeHead(status, { "content-type": "application/xml" }).end(text);
    }, everything);
    const error = await refusal(store.writeText(id, marksName, "{}"));
    expect(error.code).toBe(code);
    expect(error.message).toContain(sentence);
    expect(error.message).toContain(name);
    expect(error.message).not.toContain(secret);
  });
});
