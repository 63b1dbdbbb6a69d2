import { openTestStorage } from "../../support/storage.ts";
import { storageContract } from "../../support/storage-contract.ts";

storageContract(openTestStorage);
