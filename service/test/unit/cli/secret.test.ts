import { PassThrough, Writable } from "node:stream";
import { expect, it } from "vitest";
import { askSecret } from "../../../src/cli/secret.ts";

function terminal() {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  let shown = "";
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      shown += String(chunk);
      done();
    },
  });
  return { host: { stdin, stderr } as never, stdin, shown: () => shown };
}

it("asks, and shows nothing of what is typed", async () => {
  const { host, stdin, shown } = terminal();
  const answer = askSecret(host, "Token: ");
  stdin.write("tmp_secret\n");
  expect(await answer).toBe("tmp_secret");
  expect(shown()).toBe("Token: \n");
});

it.each(["\u0003", "\u0004"])("gives up on %j", async (key) => {
  const { host, stdin } = terminal();
  const answer = askSecret(host, "Token: ");
  stdin.write(key);
  await expect(answer).rejects.toMatchObject({ exitCode: 130 });
});
