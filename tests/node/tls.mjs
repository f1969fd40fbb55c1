// TLS in front of the balancer, as an ingress ends it: the SDK opens WebSockets to `wss:` only.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";

import { PYTHON } from "./balancer.mjs";

const MAKE = `
import sys, trustme
ca = trustme.CA()
ca.cert_pem.write_to_path(sys.argv[1] + "/roots.pem")
ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(sys.argv[1] + "/leaf.pem")
`;

/** Ends TLS for `url`; returns the address, what to trust, and a way to stop. */
export async function startTls(url) {
  const folder = mkdtempSync(join(tmpdir(), "lb-tls-"));
  execFileSync(PYTHON, ["-c", MAKE, folder]);
  const [leaf, ca] = ["leaf.pem", "roots.pem"].map((name) => readFileSync(join(folder, name)));
  rmSync(folder, { recursive: true });
  const { hostname, port } = new URL(url);
  const server = createServer({ key: leaf, cert: leaf }, (client) => {
    const behind = connect({ host: hostname, port: Number(port) });
    client.pipe(behind).pipe(client);
    for (const socket of [client, behind]) socket.on("error", () => (client.destroy(), behind.destroy()));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `https://127.0.0.1:${server.address().port}`, ca, stop: () => server.close() };
}
