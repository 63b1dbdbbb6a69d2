import { AppError } from "../errors.ts";
import type { Repositories } from "../storage.ts";

/** For a storage that has no queue: every use of webhooks is refused, and says what has one. */
export const withoutWebhooks: Pick<Repositories, "webhooks" | "deliveries"> = {
  webhooks: refusing(),
  deliveries: refusing(),
};

function refusing<T extends object>(): T {
  const refuse = async (): Promise<never> => {
    throw new AppError(
      "not_supported",
      "Webhooks need PostgreSQL (or the embedded one); this storage cannot keep what is to be sent.",
    );
  };
  return new Proxy({} as T, { get: () => refuse });
}
