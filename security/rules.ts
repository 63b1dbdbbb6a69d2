// ruleid: environment-is-read-once
const level = process.env.LOG_LEVEL;
// ok: environment-is-read-once
const own = config.logLevel;

// ruleid: sql-is-never-put-together
await client.$queryRawUnsafe(`SELECT * FROM tasks WHERE title = '${title}'`);
// ruleid: sql-is-never-put-together
Prisma.raw(column);
// ok: sql-is-never-put-together
await client.$queryRaw`SELECT * FROM tasks WHERE title = ${title}`;
// ok: sql-is-never-put-together
Prisma.raw("FOR UPDATE");

// ruleid: no-shell
import { exec } from "node:child_process";
// ruleid: no-shell
spawn("pg_dump", [], { shell: true });
// ok: no-shell
spawn("pg_dump", ["--format=directory"], { stdio: "pipe" });

// ruleid: redirects-are-not-followed, webhooks-connect-in-one-place
await fetch(url, { headers: { authorization } });
// ok: redirects-are-not-followed
// ruleid: webhooks-connect-in-one-place
await fetch(url, { method: "POST", redirect: "error", body });
// ok: redirects-are-not-followed
// ruleid: webhooks-connect-in-one-place
await fetch(url, { ...init, headers, redirect: "manual" });

// ruleid: tokens-name-their-algorithms
await jwtVerify(token, keys);
// ruleid: tokens-name-their-algorithms
await jwtVerify(token, keys, { issuer, audience });
// ok: tokens-name-their-algorithms
await jwtVerify(token, keys, { issuer, algorithms: ["ES256"] });

// ruleid: secrets-are-not-guessable
const guessable = Math.random().toString(36).slice(2);
// ok: secrets-are-not-guessable
await sleep(Math.random() * 50);

// ruleid: certificates-are-checked
connect({ host, rejectUnauthorized: false });
// ok: certificates-are-checked
connect({ host, ca });
