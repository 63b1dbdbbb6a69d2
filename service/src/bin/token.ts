import { openStorage } from "../compose.ts";
import { loadConfig } from "../config.ts";
import { createFirstOwner, issueOwnerToken } from "../core/access/bootstrap.ts";
import { AppError } from "../core/index.ts";

export interface TokenFlags {
  json?: boolean;
  /** The first organization's slug, and its owner's address; without an address none is made. */
  organization: string;
  email?: string;
}

/** A token for the first owner; with an address, that owner and the organization too, where there is none yet. */
export async function issueToken({ json, organization, email }: TokenFlags): Promise<void> {
  demand("--organization", organization, /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "acme-2");
  if (email !== undefined) demand("--email", email, /^[^\s@]+@[^\s@]+$/, "ada@example.com");
  const storage = await openStorage(loadConfig(process.env, { session: false }));
  try {
    const first = email === undefined ? undefined : await createFirstOwner(storage, { organization, email });
    const issued = first ?? (await issueOwnerToken(storage));
    if (json === true) process.stdout.write(`${JSON.stringify(issued)}\n`);
    else {
      process.stdout.write(
        `A token for ${issued.email}, owner of ${issued.organization}; it is shown only here and lasts a year:\n${issued.token}\n`,
      );
    }
  } finally {
    await storage.close();
  }
}

function demand(option: string, value: string, form: RegExp, example: string): void {
  if (form.test(value)) return;
  throw new AppError(
    "invalid_input",
    `${option} is ${JSON.stringify(value)} but must be something like ${example}.`,
  );
}
