type Action = (...given: never[]) => Promise<void>;

/**
 * The actions of a module that is loaded when one of them runs: to say what commands there are, and to run a server, nothing
 * of it is needed.
 */
export function actionsOf<M extends { [K in keyof M]: Action }>(load: () => Promise<M>) {
  return <K extends keyof M>(name: K) =>
    async (...given: Parameters<M[K]>): Promise<void> => {
      const actions = await load();
      await actions[name](...given);
    };
}
