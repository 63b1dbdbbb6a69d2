import { backupContract } from "../../support/backup-contract.ts";

// The form of the embedded database, on whatever server the tests run on.
backupContract(true);
