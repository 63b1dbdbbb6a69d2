import { openTestStorage } from "../../support/storage.ts";
import { webhookContract } from "../../support/webhook-contract.ts";

webhookContract(openTestStorage);
