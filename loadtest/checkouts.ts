import { execFile } from "node:child_process";
import { readFile, stat, symlink } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { isBuilt, root } from "./bench.ts";
import { print } from "./results.ts";

const run = promisify(execFile);

/** What the caller named is not there, or cannot be compared. */
export class WrongUse extends Error {}

export interface Checkouts {
  /** The folder of a build of a git ref, in a work tree of its own; or the given folder, which has to be built. */
  open(refOrFolder: string): Promise<string>;
  close(): Promise<void>;
}

/** Work trees go into the folder. */
export function createCheckouts(folder: string): Checkouts {
  const trees = new Map<string, string>();
  const git = async (...args: string[]) => (await run("git", args, { cwd: root })).stdout.trim();

  return {
    async open(refOrFolder) {
      const isFolder = await stat(refOrFolder).then(
        (found) => found.isDirectory(),
        () => false,
      );
      if (isFolder) {
        const given = path.resolve(refOrFolder);
        if (!isBuilt(given)) throw new WrongUse(`${refOrFolder} is not built; run there: make build`);
        return given;
      }
      const commit = await git("rev-parse", "--verify", "--quiet", `${refOrFolder}^{commit}`).catch(() => {
        throw new WrongUse(`${refOrFolder} is neither a folder nor a commit of this repository.`);
      });
      const known = trees.get(commit);
      if (known !== undefined) return known;
      const tree = path.join(folder, commit.slice(0, 12));
      await git("worktree", "add", "--detach", "--quiet", tree, commit);
      trees.set(commit, tree);
      print(`Building ${refOrFolder} (${commit.slice(0, 12)})…`);
      await build(tree);
      return tree;
    },
    async close() {
      for (const tree of trees.values()) await git("worktree", "remove", "--force", tree).catch(() => {});
    },
  };
}

async function build(tree: string): Promise<void> {
  const lock = async (of: string) => await readFile(path.join(of, "package-lock.json"), "utf8");
  const options = { cwd: tree, maxBuffer: 1e8 };
  // Packages take a minute to install, and mostly they are those that are here already.
  if ((await lock(tree)) === (await lock(root))) {
    await symlink(path.join(root, "node_modules"), path.join(tree, "node_modules"));
  } else {
    await run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], options);
  }
  await run("npm", ["run", "-s", "--if-present", "generate"], options);
  await run("npm", ["run", "-s", "build"], options);
}
