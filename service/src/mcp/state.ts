/** The most resources that one session may watch at once. */
export const maximumWatches = 100;

/** What one session remembers between its requests; it ends with the session, and no other session sees it. */
export class State {
  /** The tag that use_tag chose, by the project's key. */
  readonly tags = new Map<string, string>();
  readonly #watches = new Map<string, () => void>();

  get watches(): number {
    return this.#watches.size;
  }

  isWatching(uri: string): boolean {
    return this.#watches.has(uri);
  }

  keepWatch(uri: string, stop: () => void): void {
    this.stopWatch(uri);
    this.#watches.set(uri, stop);
  }

  stopWatch(uri: string): void {
    this.#watches.get(uri)?.();
    this.#watches.delete(uri);
  }

  end(): void {
    for (const uri of [...this.#watches.keys()]) this.stopWatch(uri);
  }
}
