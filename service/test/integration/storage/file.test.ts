import { openFile } from "../../../src/storage/file/open.ts";
import { createFolder } from "../../support/folder.ts";
import { storageContract } from "../../support/storage-contract.ts";

storageContract(async () => {
  const folder = await createFolder();
  const storage = await openFile({ directory: folder.directory });
  return {
    storage,
    connectionString: `file:${folder.directory}`,
    async close() {
      await storage.close();
      await folder.remove();
    },
  };
});
