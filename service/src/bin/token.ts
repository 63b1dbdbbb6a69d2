import { openStorage } from "../compose.ts";
import { loadConfig } from "../config.ts";
import { issueOwnerToken } from "../core/access/bootstrap.ts";

export async function issueToken({ json }: { json: boolean }): Promise<void> {
  const storage = await openStorage(loadConfig(process.env));
  try {
    const issued = await issueOwnerToken(storage);
    if (json) process.stdout.write(`${JSON.stringify(issued)}\n`);
    else {
      process.stdout.write(
        `A token for ${issued.email}, owner of ${issued.organization}; it is shown only here and lasts a year:\n${issued.token}\n`,
      );
    }
  } finally {
    await storage.close();
  }
}
