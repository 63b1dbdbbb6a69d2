import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Whoever runs the suites one after another adds their counts up from this.
    ...(process.env.CI === undefined
      ? {}
      : { reporters: ["default", "json"], outputFile: { json: "coverage/tests.json" } }),
    coverage: {
      provider: "v8",
      include: ["service/src/**/*.ts"],
      reporter: ["text-summary", "html", "lcov"],
      thresholds: { lines: 80, functions: 80, statements: 80, branches: 80 },
    },
    projects: [
      { extends: true, test: { name: "unit", include: ["service/test/unit/**/*.test.ts"] } },
      { extends: true, test: { name: "chart", include: ["service/test/chart/**/*.test.ts"] } },
      { extends: true, test: { name: "alerts", include: ["service/test/alerts/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["service/test/e2e/**/*.test.ts"],
          // One cluster, and tests that go on where the last one ended.
          fileParallelism: false,
          testTimeout: 900_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: "redis",
          include: ["service/test/redis/**/*.test.ts"],
          globalSetup: ["service/test/support/global-setup.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "backup",
          include: ["service/test/backup/**/*.test.ts"],
          globalSetup: ["service/test/support/global-setup.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "conformance",
          include: ["service/test/conformance/**/*.test.ts"],
          globalSetup: ["service/test/support/global-setup.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["service/test/integration/**/*.test.ts"],
          globalSetup: ["service/test/support/global-setup.ts"],
        },
      },
    ],
  },
});
