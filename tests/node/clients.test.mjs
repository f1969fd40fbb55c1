// The official SDK, unchanged, against the real balancer: both of its clients, in its newest and in an older major version.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";

import * as newest from "openai";
import * as older from "openai-6";

import { faults, json, startAll, until } from "./balancer.mjs";

const SAID = [{ role: "user", content: "hello" }];
const TOOLS = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
const KEY = "clients-own";

let all;
before(async () => (all = await startAll()));
after(() => all.stop());
beforeEach(() => Promise.all(all.urls.map((url) => faults(url))));

async function collected(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

for (const [version, sdk] of [["7", newest], ["6", older]]) {
  const clients = {
    AzureOpenAI: (options) => new sdk.AzureOpenAI({ endpoint: all.url, apiKey: KEY, apiVersion: "2025-04-01-preview", maxRetries: 0, ...options }),
    OpenAI: (options) => new sdk.OpenAI({ baseURL: `${all.url}/openai/v1`, apiKey: KEY, maxRetries: 0, ...options }),
  };
  for (const [name, make] of Object.entries(clients)) {
    describe(`openai-node ${version}, ${name}`, () => {
      let client;
      before(() => (client = make()));

      test("chat", async () => {
        const reply = await client.chat.completions.create({ model: "chat", messages: SAID });
        assert.ok(reply.choices[0].message.content);
        assert.ok(reply.usage.total_tokens > 0);
      });

      test("streaming chat", async () => {
        const stream = await client.chat.completions.create({ model: "chat", messages: SAID, stream: true, stream_options: { include_usage: true } });
        const chunks = await collected(stream);
        assert.ok(chunks.some((chunk) => chunk.choices[0]?.delta.content));
        assert.ok(chunks.at(-1).usage);
      });

      test("responses", async () => {
        assert.ok((await client.responses.create({ model: "chat", input: "hello" })).output_text);
      });

      test("streaming responses", async () => {
        const events = await collected(await client.responses.create({ model: "chat", input: "hello", stream: true }));
        assert.equal(events[0].type, "response.created");
        assert.equal(events.at(-1).type, "response.completed");
      });

      test("embeddings", async () => {
        const reply = await client.embeddings.create({ model: "embedding", input: ["one", "two"] });
        assert.equal(reply.data.length, 2);
        assert.equal(reply.data[0].embedding.length, 1536);
      });

      test("models", async () => {
        const models = await collected(await client.models.list());
        assert.deepEqual(models.map((model) => model.id).sort(), ["chat", "embedding"]);
      });

      test("a tool call", async () => {
        const reply = await client.chat.completions.create({ model: "chat", messages: SAID, tools: TOOLS, tool_choice: "required" });
        assert.equal(reply.choices[0].message.tool_calls[0].function.name, "weather");
      });

      test("a throttled backend goes unnoticed", async () => {
        const before = (await json(`${all.admin}/status`)).requests.throttled_absorbed;
        await faults(all.urls[0], "429-ms:0.2*1");
        await faults(all.urls[1], "429-ms:0.2*1");
        for (let i = 0; i < 6; i++) await client.chat.completions.create({ model: "chat", messages: SAID });
        assert.equal((await json(`${all.admin}/status`)).requests.throttled_absorbed, before + 2);
        await recovered(client);
      });

      test("a throttled stream goes unnoticed", async () => {
        await faults(all.urls[0], "stream-throttle:1*1");
        await faults(all.urls[1], "stream-throttle:1*1");
        for (let i = 0; i < 4; i++) {
          const chunks = await collected(await client.chat.completions.create({ model: "chat", messages: SAID, stream: true }));
          assert.ok(chunks.length > 2);
        }
        await recovered(client);
      });

      test("all throttled is one 429 with the soonest wait", async () => {
        const waits = [3, 1, 2];
        await Promise.all(all.urls.map((url, index) => faults(url, `429:${waits[index]}`)));
        const error = await client.chat.completions.create({ model: "chat", messages: SAID }).catch((raised) => raised);
        assert.ok(error instanceof sdk.RateLimitError, String(error));
        assert.equal(error.headers.get("retry-after"), "1");
        const milliseconds = Number(error.headers.get("retry-after-ms"));
        assert.ok(milliseconds > 0 && milliseconds <= 1000, String(milliseconds));
        assert.equal(error.code, "429");
        await Promise.all(all.urls.map((url) => faults(url)));
        await recovered(client);
      });

      test("the SDK's own retry after that 429 succeeds", async () => {
        await Promise.all(all.urls.map((url) => faults(url, "429:1*1")));
        const reply = await make({ maxRetries: 1 }).chat.completions.create({ model: "chat", messages: SAID });
        assert.ok(reply.choices[0].message.content);
        await recovered(client);
      });

      test("aborting a stream ends the call at the backend", async () => {
        await Promise.all(all.urls.map((url) => faults(url, "slow-body:0.3")));
        const stream = await client.chat.completions.create({ model: "chat", messages: SAID, stream: true });
        for await (const chunk of stream) if (chunk.choices[0]?.delta.content) stream.controller.abort();
        const idle = async () => (await Promise.all(all.urls.map((url) => json(`${url}/_sim/counts`)))).every(({ in_flight }) => !in_flight);
        await until(idle, 2);
        const { backends } = await json(`${all.admin}/status`);
        assert.ok(backends.every((row) => row.in_flight === 0 && row.strikes === 0 && row.state === "available"));
      });

      test("a wrong client key is the client's 401", async () => {
        const error = await make({ apiKey: "wrong" }).chat.completions.create({ model: "chat", messages: SAID }).catch((raised) => raised);
        assert.ok(error instanceof sdk.AuthenticationError, String(error));
      });
    });
  }
}

/** Wait for every cooldown to end, and for a request at each backend to succeed. */
async function recovered(client) {
  await until(async () => {
    await client.chat.completions.create({ model: "chat", messages: SAID }).catch(() => {});
    const { backends } = await json(`${all.admin}/status`);
    return backends.every((row) => row.state === "available");
  });
}

test("the example of docs/clients.md works as it stands, but for the port", () => {
  const page = readFileSync(new URL("../../docs/clients.md", import.meta.url), "utf8");
  const code = page.match(/```js\n(.*?)```/s)[1].replaceAll("http://localhost:8080", all.url);
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", code], { cwd: import.meta.dirname, timeout: 20_000 });
  assert.ok(said.toString().split(/\s+/).length > 10);
});

test("no client key and no prompt came into the log", () => {
  assert.ok(all.log.length > 100);
  assert.ok(!all.log.some((line) => line.includes(KEY) || line.includes("key-of-") || line.includes("hello")));
});
