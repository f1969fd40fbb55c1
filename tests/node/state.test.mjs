// Objects that live on one of three backends, used by the official SDK as if there were one backend.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import OpenAI, { AzureOpenAI, toFile } from "openai";

import { startAll } from "./balancer.mjs";

const KEY = "clients-own";
const SAID = [{ role: "user", content: "hello" }];
const TEXT = "The contract was signed in Lisbon.";

let all;
before(async () => (all = await startAll()));
after(() => all.stop());

async function collected(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

const last = async (stream) => (await collected(stream)).at(-1).response;

const CLIENTS = {
  AzureOpenAI: () => new AzureOpenAI({ endpoint: all.url, apiKey: KEY, apiVersion: "2025-04-01-preview", maxRetries: 0 }),
  OpenAI: () => new OpenAI({ baseURL: `${all.url}/openai/v1`, apiKey: KEY, maxRetries: 0 }),
};

for (const [name, make] of Object.entries(CLIENTS)) {
  describe(`openai-node, ${name}`, () => {
    let client;
    before(() => (client = make()));

    test("a chain of five responses, two of them streamed", async () => {
      let previous, made;
      for (let turn = 0; turn < 5; turn++) {
        const asked = { model: "chat", input: `turn ${turn}`, previous_response_id: previous };
        made = turn % 2 ? await last(await client.responses.create({ ...asked, stream: true })) : await client.responses.create(asked);
        previous = made.id;
      }
      assert.equal((await collected(client.responses.inputItems.list(previous, { limit: 4 }))).length, 9);
      await client.responses.delete(previous);
      await assert.rejects(client.responses.retrieve(previous), { status: 404 });
    });

    test("a conversation", async () => {
      const talk = await client.conversations.create({});
      for (let turn = 0; turn < 3; turn++) await client.responses.create({ model: "chat", input: `turn ${turn}`, conversation: talk.id });
      assert.equal((await collected(client.conversations.items.list(talk.id, { limit: 2 }))).length, 6);
    });

    test("a file, a batch and its output file", async () => {
      const line = JSON.stringify({ custom_id: "one", method: "POST", url: "/v1/chat/completions", body: { model: "chat", messages: SAID } });
      const source = await client.files.create({ file: await toFile(Buffer.from(line), "asked.jsonl"), purpose: "batch" });
      let job = await client.batches.create({ input_file_id: source.id, endpoint: "/v1/chat/completions", completion_window: "24h" });
      while (job.status !== "completed") job = await client.batches.retrieve(job.id);
      const output = await (await client.files.content(job.output_file_id)).text();
      assert.equal(JSON.parse(output).custom_id, "one");
    });

    test("an assistant, a thread and a run", async () => {
      const assistant = await client.beta.assistants.create({ model: "chat" });
      const thread = await client.beta.threads.create({ messages: SAID });
      const run = await client.beta.threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id }, { pollIntervalMs: 5 });
      assert.equal(run.status, "completed");
      assert.equal((await collected(client.beta.threads.messages.list(thread.id))).length, 2);
    });

    test("a vector store and a file search", async () => {
      const file = await client.files.create({ file: await toFile(Buffer.from(TEXT), "contract.txt"), purpose: "assistants" });
      const store = await client.vectorStores.create({ name: "contracts" });
      await client.vectorStores.files.createAndPoll(store.id, { file_id: file.id }, { pollIntervalMs: 5 });
      const tools = [{ type: "file_search", vector_store_ids: [store.id] }];
      const made = await client.responses.create({ model: "chat", input: "Where was it signed?", tools, include: ["file_search_call.results"] });
      assert.equal(made.output[0].results[0].text, TEXT);
    });

    test("a container and a file that was made in it", async () => {
      const work = await client.containers.create({ name: "work" });
      const made = await client.responses.create({ model: "chat", input: "Run it.", tools: [{ type: "code_interpreter", container: work.id }] });
      const { file_id, container_id } = made.output.at(-1).content[0].annotations[0];
      assert.equal(await (await client.containers.files.content.retrieve(file_id, { container_id })).text(), "done");
    });

    test("encrypted reasoning without a store", async () => {
      const turns = [];
      for (let turn = 0; turn < 4; turn++) {
        turns.push({ role: "user", content: `turn ${turn}` });
        const include = ["reasoning.encrypted_content"];
        const made = await client.responses.create({ model: "chat", input: turns, store: false, reasoning: { effort: "low" }, include });
        assert.ok(made.output[0].encrypted_content);
        turns.push(...made.output);
      }
    });
  });
}
