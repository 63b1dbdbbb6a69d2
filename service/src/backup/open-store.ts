import type { BackupStore, StoreOptions } from "./store.ts";
import { openFolderStore } from "./store-folder.ts";

/** Opens a place for backups without speaking to it yet; close it in the end. */
export async function openStore(options: StoreOptions): Promise<BackupStore> {
  if (options.kind === "folder") return openFolderStore(options);
  // Loaded here: the AWS SDK takes 30 MB and a third of a second, which a folder does not need.
  const { openS3Store } = await import("./store-s3.ts");
  return openS3Store(options);
}
