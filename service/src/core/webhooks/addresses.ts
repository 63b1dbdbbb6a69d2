import ipaddr from "ipaddr.js";

/** Where messages may be sent to, beside public addresses over https. */
export interface AddressRules {
  allowHttp: boolean;
  /** Networks (CIDR) that are not public and may be reached all the same. */
  allowedNetworks: readonly string[];
}

export const publicOnly: AddressRules = { allowHttp: false, allowedNetworks: [] };

/** Names that stand for this machine or its surroundings by their form alone. */
const localName = /(^|\.)(localhost|localdomain|local|internal|intranet|lan|home\.arpa)$/;

/**
 * Why no message may be sent to the URL, in a sentence with the way out; undefined when the URL by itself says nothing
 * against it. A name's addresses are looked at when it is resolved, before each attempt: what it stands for now says
 * nothing of what it will stand for then.
 */
export function findUrlFault(text: string, rules: AddressRules): string | undefined {
  const url = URL.parse(text);
  if (url === null) return "This is no URL; send one such as https://example.com/hooks.";
  if (url.protocol === "http:" && !rules.allowHttp) {
    return "Send an https:// URL; over http anybody on the way could read the messages.";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return "Send an https:// URL.";
  if (url.username !== "" || url.password !== "") {
    return "The URL holds a user name or password; leave them out, and check the signature instead.";
  }
  // Below 1024 are the ports of other protocols, whose servers could be made to act on what a message says.
  if (url.port !== "" && Number(url.port) < 1024) {
    return "The port belongs to another protocol; use 443 (or 80 for http), or one above 1023.";
  }
  const host = hostOf(url);
  if (isLiteral(host)) return isAddressAllowed(host, rules) ? undefined : notPublic;
  // Without a dot no public name: one of the network that the server is in.
  if (rules.allowedNetworks.length === 0 && (!host.includes(".") || localName.test(host))) return notPublic;
  return undefined;
}

export const notPublic =
  "The address is not a public one; name a host that the internet can reach, or ask the operator to allow its network.";

/** The URL's host without the brackets of IPv6 and the dots that may end a name. The URL parser has made numbers plain. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.+$/, "");
}

/** Whether a host is an address already, so that there is nothing to resolve. */
export function isLiteral(host: string): boolean {
  return ipaddr.isValid(host);
}

/**
 * Whether an IP address may be connected to: a global unicast one (by the registries of IANA, RFC 6890), or one of an
 * allowed network. Addresses that carry another inside (mapped, NAT64, 6to4, Teredo) are none, whatever they carry.
 */
export function isAddressAllowed(address: string, rules: AddressRules): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  const allowed = rules.allowedNetworks.some((network) => {
    const [base, bits] = ipaddr.parseCIDR(network);
    return base.kind() === parsed.kind() && parsed.match([base, bits]);
  });
  if (allowed) return true;
  if (parsed.range() !== "unicast") return false;
  // Of IPv6 only 2000::/3 has been given out; what else the library takes for unicast leads somewhere else.
  return parsed.kind() === "ipv4" || parsed.match(globalUnicast);
}

const globalUnicast = ipaddr.parseCIDR("2000::/3");

/** Whether a text is a network such as 10.0.0.0/8 or fd00::/8. */
export function isNetwork(text: string): boolean {
  return ipaddr.isValidCIDR(text);
}
