import { defineConfig } from "prisma/config";

// The server reads its configuration in service/src/config.ts; this file serves Prisma's own tools only.
const url = process.env.DATABASE_URL;

export default defineConfig({
  schema: "prisma/schema.prisma",
  migrations: { path: "prisma/migrations" },
  ...(url === undefined ? {} : { datasource: { url } }),
});
