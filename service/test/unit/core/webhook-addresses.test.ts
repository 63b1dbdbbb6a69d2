import { describe, expect, it } from "vitest";
import { findUrlFault, isAddressAllowed, publicOnly } from "../../../src/core/index.ts";
import { disguisedHosts, forbiddenAddresses, publicAddresses } from "../../support/addresses.ts";

const everywhere = { allowHttp: true, allowedNetworks: [] };

describe.each(Object.entries(forbiddenAddresses))("%s", (_, addresses) => {
  it.each(addresses)("%s may not be connected to, nor be in a URL", (address) => {
    expect(isAddressAllowed(address, everywhere)).toBe(false);
    const host = address.includes(":") ? `[${address}]` : address;
    expect(findUrlFault(`http://${host}/`, everywhere)).toMatch(/not a public one/);
  });
});

it.each(publicAddresses)("%s may be connected to", (address) => {
  expect(isAddressAllowed(address, publicOnly)).toBe(true);
  const host = address.includes(":") ? `[${address}]` : address;
  expect(findUrlFault(`https://${host}:8443/hook`, publicOnly)).toBeUndefined();
});

it.each(disguisedHosts)("a URL with the host %s is refused when it is given", (host) => {
  expect(findUrlFault(`http://${host}:8080/`, everywhere)).toMatch(/not a public one|no URL/);
});

it.each([
  ["not a url", /no URL/],
  ["https://", /no URL/],
  ["//example.com/", /no URL/],
  ["https://exa mple.com/", /no URL/],
  ["https://256.1.1.1/", /no URL/],
  ["https://[::1", /no URL/],
  ["https://example.com:99999/", /no URL/],
  ["http://example.com/", /https/],
  ["ftp://example.com/", /https/],
  ["file:///etc/passwd", /https/],
  ["gopher://example.com/", /https/],
  ["javascript:alert(1)", /https/],
  ["data:text/plain,x", /https/],
  ["unix:/var/run/docker.sock", /https/],
  ["https://user@example.com/", /password/],
  ["https://user:secret@example.com/", /password/],
  ["https://example.com@127.0.0.1/", /password/],
  ["https://:secret@example.com/", /password/],
  ["https://example.com:22/", /port/],
  ["https://example.com:25/", /port/],
  ["https://example.com:80/", /port/],
  ["https://example.com:0/", /port/],
  ["https://metadata/", /not a public/],
  ["https://metadata.google.internal/", /not a public/],
  ["https://printer.local/", /not a public/],
  ["https://router.lan/", /not a public/],
  ["https://127.0.0.1\\@example.com/", /not a public/],
  ["https://example.com\\@127.0.0.1/", undefined],
  ["https://127.0.0.1#@example.com/", /not a public/],
  ["https://127.0.0.1?@example.com/", /not a public/],
])("%s", (url, fault) => {
  const found = findUrlFault(url, publicOnly);
  if (fault === undefined) expect(found).toBeUndefined();
  else expect(found).toMatch(fault);
});

it("takes http and what lies in an allowed network once the operator allows it, and nothing beside it", () => {
  const rules = { allowHttp: true, allowedNetworks: ["10.1.0.0/16", "fd00:1::/32"] };
  expect(findUrlFault("http://10.1.2.3:8080/", rules)).toBeUndefined();
  expect(findUrlFault("http://hooks.team.svc.cluster.local/", rules)).toBeUndefined();
  expect(findUrlFault("http://hooks:8080/", rules)).toBeUndefined();
  expect(isAddressAllowed("fd00:1::1", rules)).toBe(true);
  for (const address of ["10.2.0.1", "127.0.0.1", "fd00:2::1", "::ffff:10.1.2.3", "169.254.169.254"]) {
    expect(isAddressAllowed(address, rules)).toBe(false);
  }
  // Not by the network of the other family that has the same bits.
  expect(isAddressAllowed("::1", { allowHttp: true, allowedNetworks: ["0.0.0.0/0"] })).toBe(false);
});

it("what is no address is not allowed", () => {
  for (const text of ["", "example.com", "1.2.3.4.5", "::g", "1.2.3.4 "]) {
    expect(isAddressAllowed(text, everywhere)).toBe(false);
  }
});
