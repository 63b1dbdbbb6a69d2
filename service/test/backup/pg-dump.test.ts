import { backupContract } from "../support/backup-contract.ts";

// The form of a real server, by PostgreSQL's own pg_dump of the server's version.
backupContract(false);
