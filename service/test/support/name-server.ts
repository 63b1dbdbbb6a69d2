import type { AddressInfo } from "node:net";
import dns from "dns2";

export interface NameServer {
  /** As Resolver.setServers takes it. */
  address: string;
  /** The questions that were asked, as "A name". */
  questions: string[];
  close(): Promise<void>;
}

/**
 * A real DNS server on loopback. `answer` is asked anew for each question, so that it may say another thing each time;
 * addresses of the other family are left out.
 */
export async function startNameServer(answer: (name: string) => string[]): Promise<NameServer> {
  const { Packet } = dns;
  const questions: string[] = [];
  const server = dns.createUDPServer((request, send) => {
    const response = Packet.createResponseFromRequest(request);
    const { name = "", type } = request.questions[0] ?? {};
    const isV6 = type === Packet.TYPE.AAAA;
    questions.push(`${isV6 ? "AAAA" : "A"} ${name}`);
    for (const address of answer(name).filter((one) => one.includes(":") === isV6)) {
      response.answers.push({
        name,
        type: isV6 ? Packet.TYPE.AAAA : Packet.TYPE.A,
        class: Packet.CLASS.IN,
        ttl: 0,
        address,
      } as InstanceType<typeof Packet.Resource>);
    }
    send(response);
  });
  await server.listen(0, "127.0.0.1");
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    questions,
    close: async () => await new Promise((resolve) => server.close(() => resolve())),
  };
}
