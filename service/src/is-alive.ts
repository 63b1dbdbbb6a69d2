/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is another user's, and alive.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
