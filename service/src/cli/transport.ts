import { problem } from "./problem.ts";

/** One exchange with the API, wherever that is: over the network, or in this very process. */
export interface Transport {
  /** What a reader calls it: the server's address, or the file. */
  name: string;
  /** `path` begins behind the API's prefix. The shape is fetch's own. */
  send(path: string, init: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export const apiPrefix = "/api/v1";

export function createHttpTransport(server: string, token: string | null): Transport {
  return {
    name: server,
    send(path, init) {
      const headers = new Headers(init.headers);
      if (token !== null) headers.set("authorization", `Bearer ${token}`);
      // Followed, a redirect would turn a POST into a GET and may lead to a page to sign in on.
      return fetch(`${server}${apiPrefix}${path}`, { ...init, headers, redirect: "manual" });
    },
    close: async () => {},
  };
}

/** A server's address in the one form that profiles are compared by. Throws a usage problem. */
export function readServer(given: string): string {
  const url = URL.parse(given);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw problem(
      "usage",
      `${JSON.stringify(given)} is no server's address; it is a URL such as https://tasks.example.com.`,
    );
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw problem(
      "usage",
      "A server's address has no user, password, query or fragment; the token is asked for.",
    );
  }
  // People paste what the browser shows.
  return `${url.origin}${url.pathname.replace(/\/+$/, "").replace(/\/(docs|api\/v1)$/, "")}`;
}

/** Whether a token sent there could be read on the way. */
export function isClearText(server: string): boolean {
  const { protocol, hostname } = new URL(server);
  return protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
