import { Readable } from "node:stream";
import { Decrypter, Encrypter } from "age-encryption";
import { AppError } from "../core/errors.ts";

/** The first line of every age file (https://age-encryption.org/v1). */
const firstLine = "age-encryption.org/v1\n";

export interface Encryption {
  /** Whose keys open it, as given: age1…; no secrets. */
  recipients: string[];
  /** The readable's bytes as an age file. An error of the readable comes out unchanged. */
  encrypt(readable: Readable): Promise<Readable>;
}

export interface Decryption {
  /**
   * The bytes of an age file, as they are found genuine, 64 KiB at a time. Rejects with invalid_input when no key opens it
   * and with conflict when its beginning is damaged; the stream fails with conflict when its rest is damaged or cut off. An
   * error of the readable comes out unchanged.
   */
  decrypt(readable: Readable): Promise<Readable>;
}

/** Encrypts for any of these recipients (age1…). Throws AppError that names each one that is none. */
export function createEncryption(recipients: string[]): Encryption {
  const given = recipients.map((recipient) => recipient.trim()).filter((recipient) => recipient !== "");
  if (given.length === 0) {
    throw new AppError(
      "invalid_input",
      "There is nobody to encrypt for; give a recipient (age1…), which age-keygen prints as the public key.",
    );
  }
  const encrypter = new Encrypter();
  for (const recipient of given) {
    // The one mistake that would put a key where names go, and from there into messages and manifests.
    if (/^age-secret-key-/i.test(recipient)) {
      throw new AppError(
        "invalid_input",
        "A recipient is the public key (age1…), and a secret key was given; age-keygen -y prints the public key of one.",
      );
    }
    try {
      encrypter.addRecipient(recipient);
    } catch (error) {
      throw new AppError(
        "invalid_input",
        `${JSON.stringify(recipient)} is no age recipient; they start with age1, and age-keygen prints one as the public key.`,
        { cause: error },
      );
    }
  }
  return {
    recipients: given,
    async encrypt(readable) {
      const source = toWeb(readable);
      return fromWeb(await encrypter.encrypt(source.stream), source, (error) => error);
    },
  };
}

/** Decrypts with any of these identities (AGE-SECRET-KEY-…). Throws AppError for one that is none; never shows it. */
export function createDecryption(identities: string[]): Decryption {
  if (identities.length === 0) throw noKey();
  const decrypter = new Decrypter();
  for (const [index, identity] of identities.entries()) addIdentity(decrypter, identity, `Key ${index + 1}`);
  return {
    async decrypt(readable) {
      const source = toWeb(readable, firstLine);
      try {
        const decrypted = await decrypter.decrypt(source.stream);
        return fromWeb(decrypted, source, () =>
          damaged("a part of it is not what was encrypted, or its end is missing"),
        );
      } catch (error) {
        readable.destroy();
        const ofSource = source.fault();
        if (ofSource !== undefined) throw ofSource;
        if (error instanceof Error && error.message.startsWith("no identity matched")) {
          throw new AppError(
            "invalid_input",
            "None of the given keys opens this backup; its manifest names the recipients whose keys do.",
          );
        }
        throw damaged("its beginning is not what was encrypted");
      }
    },
  };
}

/**
 * The keys of an age identity file: one a line, with comments (#) and blank lines. Throws AppError that names the line of
 * what is no key, and never shows it.
 */
export function readIdentities(text: string): string[] {
  if (text.startsWith("-----BEGIN AGE ENCRYPTED FILE-----") || text.startsWith(firstLine)) {
    throw new AppError(
      "invalid_input",
      "The key file is itself encrypted with a passphrase; decrypt it first: age -d FILE > KEYS",
    );
  }
  const identities: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const identity = line.trim();
    if (identity === "" || identity.startsWith("#")) continue;
    addIdentity(new Decrypter(), identity, `Line ${index + 1} of the key file`);
    identities.push(identity);
  }
  if (identities.length === 0) throw noKey();
  return identities;
}

function addIdentity(decrypter: Decrypter, identity: string, which: string): void {
  try {
    decrypter.addIdentity(identity);
  } catch {
    // Without the library's error: its message may show the key.
    throw new AppError(
      "invalid_input",
      `${which} is no age key; they start with AGE-SECRET-KEY-, and age-keygen makes one.`,
    );
  }
}

function noKey(): AppError {
  return new AppError(
    "invalid_input",
    "There is no age key to decrypt with; give the file that age-keygen wrote (AGE-SECRET-KEY-…).",
  );
}

function damaged(what: string): AppError {
  return new AppError("conflict", `The encrypted data is damaged: ${what}. Use another backup.`);
}

interface Source {
  readable: Readable;
  stream: ReadableStream<Uint8Array>;
  /** What reading it failed with; undefined while it did not. */
  fault(): unknown;
}

/**
 * A web stream that reads only as it is asked, so that memory stays constant. One that does not begin as it must is refused
 * at once: the library looks for the end of its first line in memory, however far it is.
 */
function toWeb(readable: Readable, beginning = ""): Source {
  let fault: unknown;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const wanted = Buffer.from(beginning);
    let held = Buffer.alloc(0);
    let begun = wanted.length === 0;
    try {
      for await (const chunk of readable) {
        if (begun) {
          yield chunk;
          continue;
        }
        held = Buffer.concat([held, chunk]);
        const length = Math.min(held.length, wanted.length);
        if (!held.subarray(0, length).equals(wanted.subarray(0, length))) throw damaged("it is no age file");
        begun = length === wanted.length;
        if (begun) yield held;
      }
      if (!begun) throw damaged("it ends before its first line does");
    } catch (error) {
      // The readable itself does not tell: leaving the loop early gives it an error too.
      fault = error;
      throw error;
    }
  }
  // Readable.toWeb reads ahead.
  return { readable, stream: ReadableStream.from(chunks()), fault: () => fault };
}

function fromWeb(
  stream: ReadableStream<Uint8Array>,
  source: Source,
  translate: (error: unknown) => unknown,
): Readable {
  const reader = stream.getReader();
  return new Readable({
    read() {
      reader.read().then(
        ({ done, value }) => void this.push(done ? null : value),
        (error: unknown) => {
          const fault = source.fault() ?? translate(error);
          this.destroy(fault instanceof Error ? fault : new Error(String(fault)));
        },
      );
    },
    destroy(error, done) {
      source.readable.destroy();
      reader.cancel().then(
        () => done(error),
        () => done(error),
      );
    },
  });
}
