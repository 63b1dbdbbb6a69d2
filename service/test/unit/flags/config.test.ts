import { describe, expect, it } from "vitest";
import { loadConfig } from "../../../src/config.ts";
import { faultsOf } from "../../support/config.ts";

describe("the settings of feature flags", () => {
  it("are none by default", () => {
    expect(loadConfig({}).flags).toEqual({ settings: [], file: null, flagd: null });
  });

  it("are read", () => {
    const { flags } = loadConfig({
      TASKMASTER_FLAGS: "smart-next=off, webhooks=on",
      TASKMASTER_FLAGD: "[::1]:8015",
    });
    expect(flags).toEqual({
      settings: [
        { flag: "smart-next", on: false },
        { flag: "webhooks", on: true },
      ],
      file: null,
      flagd: { host: "[::1]", port: 8015 },
    });
  });

  it.each(["smart_next=off", "smart-next", "smart-next=false", "webhooks=on,other=on"])(
    "are refused as %s, with the flags that there are",
    (given) => {
      const [fault] = faultsOf({ TASKMASTER_FLAGS: given });
      expect(fault).toContain(given);
      expect(fault).toContain("smart-next, webhooks");
    },
  );

  it("are refused where they contradict each other", () => {
    expect(faultsOf({ TASKMASTER_FLAGS: "webhooks=on,webhooks=off" })[0]).toContain("webhooks twice");
    expect(faultsOf({ TASKMASTER_FLAGS_FILE: "f.json", TASKMASTER_FLAGD: "flagd:8015" })[0]).toContain(
      "only one of them",
    );
    expect(faultsOf({ TASKMASTER_FLAGD: "flagd:80150" })[0]).toContain("65535");
    expect(faultsOf({ TASKMASTER_FLAGD: "http://flagd:8015" })[0]).toContain("such as flagd:8015");
  });
});
