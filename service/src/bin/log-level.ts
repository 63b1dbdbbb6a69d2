import type { Logger } from "../log.ts";

/**
 * SIGUSR2 takes the log to the level debug, and the next one back, without a restart that would take away what is to be seen. A
 * server that runs at debug or trace anyway goes to info and back. Returns what ends it.
 */
export function switchLevelBySignal(log: Logger): () => void {
  const configured = log.level;
  const other = log.isLevelEnabled("debug") ? "info" : "debug";
  const onSignal = () => {
    const level = log.level === configured ? other : configured;
    // Said at the more talkative of the two, or nobody would hear of it.
    if (level === "debug") log.level = level;
    log.info({ logLevel: level }, "log level changed");
    log.level = level;
  };
  process.on("SIGUSR2", onSignal);
  return () => void process.off("SIGUSR2", onSignal);
}
