DROP TABLE "deliveries", "webhooks";
