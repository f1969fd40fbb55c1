// Realtime and Responses WebSockets of the official SDK, unchanged, against the real balancer: from Node.js and as a browser opens them.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import * as newest from "openai";
import * as older from "openai-6";
import { OpenAIRealtimeWS as NewestWS } from "openai/realtime/ws";
import { OpenAIRealtimeWebSocket as NewestWebSocket } from "openai/realtime/websocket";
import { OpenAIRealtimeWS as OlderWS } from "openai-6/realtime/ws";
import { ResponsesWS } from "openai/resources/responses/ws";
import { WebSocket } from "ws";

import { faults, json, startAll, until } from "./balancer.mjs";
import { startTls } from "./tls.mjs";

const KEY = "clients-own";
const HELLO = { type: "message", role: "user", content: [{ type: "input_text", text: "Say hello, please!" }] };

let all;
let tls;
before(async () => {
  all = await startAll();
  tls = await startTls(all.url);
  // What a browser has; the first of its kind in Node.js comes with version 22.
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, asked) {
      const { protocols, headers } = Array.isArray(asked) ? { protocols: asked } : asked;
      super(url, protocols, { ca: tls.ca, headers });
    }
  };
});
after(async () => {
  tls.stop();
  await all.stop();
});
beforeEach(() => Promise.all(all.urls.map((url) => faults(url))));

/** The next event of this kind; an error of the session is one of ours. */
function next(session, kind) {
  return new Promise((resolve, reject) => {
    session.on(kind, resolve);
    session.on("error", reject);
  });
}

/** Two questions, two answers, and an end that both sides agree on. */
async function converse(session) {
  await next(session, "session.created");
  for (const _ of [1, 2]) {
    session.send({ type: "conversation.item.create", item: HELLO });
    session.send({ type: "response.create" });
    const { response } = await next(session, "response.done");
    assert.equal(response.status, "completed");
    assert.ok(response.usage.total_tokens > 0);
  }
  const closed = new Promise((resolve) => session.socket.addEventListener("close", resolve));
  session.close();
  assert.equal((await closed).code, 1000);
}

const ways = {
  "openai-node 7, ws": () => new NewestWS({ model: "chat", options: { ca: tls.ca } }, client(newest)),
  "openai-node 6, ws": () => new OlderWS({ model: "chat", options: { ca: tls.ca } }, client(older)),
  "openai-node 7, ws, AzureOpenAI": () => NewestWS.azure(azure(), { deploymentName: "chat", options: { ca: tls.ca } }),
  "openai-node 7, as a browser": () => new NewestWebSocket({ model: "chat", dangerouslyAllowBrowser: true }, client(newest)),
  "openai-node 7, as a browser, AzureOpenAI": () => NewestWebSocket.azure(azure(), { deploymentName: "chat", dangerouslyAllowBrowser: true }),
};

const client = (sdk, apiKey = KEY) => new sdk.OpenAI({ baseURL: `${tls.url}/openai/v1`, apiKey, maxRetries: 0 });
const azure = () => new newest.AzureOpenAI({ endpoint: tls.url, apiKey: KEY, apiVersion: "2025-04-01-preview", deployment: "chat" });

for (const [name, open] of Object.entries(ways)) {
  describe(name, () => {
    test("a session", async () => converse(await open()));

    test("a session through a failover at its handshake", async () => {
      const before = (await json(`${all.admin}/status`)).requests.throttled_absorbed;
      await Promise.all(all.urls.slice(0, 2).map((url) => faults(url, "429-ms:0.2*1")));
      for (const _ of [1, 2, 3]) await converse(await open());
      assert.equal((await json(`${all.admin}/status`)).requests.throttled_absorbed, before + 2);
    });

    test("a close code of the backend", async () => {
      await Promise.all(all.urls.map((url) => faults(url, "socket-close:1008")));
      const session = await open();
      session.on("error", () => {});
      await next(session, "session.created");
      const closed = new Promise((resolve) => session.socket.addEventListener("close", resolve));
      session.send({ type: "response.create" });
      assert.equal((await closed).code, 1008);
    });
  });
}

test("a wrong key is refused at the handshake", async () => {
  const session = new NewestWS({ model: "chat", options: { ca: tls.ca } }, client(newest, "wrong"));
  session.on("error", () => {});
  const refused = new Promise((resolve) => session.socket.on("unexpected-response", (_, reply) => resolve(reply.statusCode)));
  assert.equal(await refused, 401);
  session.socket.terminate();
});

test("responses over a WebSocket", async () => {
  const session = new ResponsesWS(client(newest), { ca: tls.ca });
  await new Promise((resolve) => session.socket.on("open", resolve));
  session.send({ type: "response.create", model: "chat", input: "hello" });
  const { response } = await next(session, "response.completed");
  session.send({ type: "response.create", model: "chat", input: "again", previous_response_id: response.id });
  const done = await new Promise((resolve) => session.on("response.completed", resolve));
  assert.equal(done.response.previous_response_id, response.id);
  session.close();
});

test("no key of a client is in a log line or at a backend", async () => {
  assert.ok(!all.log.some((line) => line.includes(KEY)));
  for (const url of all.urls) {
    const received = JSON.stringify(await json(`${url}/_sim/received`));
    assert.ok(received.includes("key-of-") && !received.includes(KEY));
  }
  const idle = async () => (await json(`${all.admin}/status`)).backends.every((row) => row.in_flight === 0);
  await until(idle);
});
