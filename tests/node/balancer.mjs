// Three simulated endpoints and the real `lb serve` in front of them, each in a process of its own.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export const PYTHON = process.env.LB_PYTHON ?? new URL("../../.venv/bin/python", import.meta.url).pathname;
const DEPLOYMENTS = "chat,embedding";

/** Starts `lb` and waits for the first line that `wanted` turns into something. */
function start(args, env, wanted) {
  const child = spawn(PYTHON, ["-m", "lb", ...args], { env, stdio: ["ignore", "pipe", "inherit"] });
  const lines = [];
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      const found = wanted(line);
      if (found) resolve(found);
    });
    child.once("exit", (code) => reject(new Error(`lb ${args[0]} ended with ${code}: ${lines.join("\n")}`)));
  });
  return { child, lines, ready };
}

export async function startAll() {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(LB_|BACKEND_|OPENAI_|AZURE_)/i.test(name)));
  const simulators = [1, 2, 3].map((number) =>
    start(["sim", "--name", `openai${number}`, "--deployments", DEPLOYMENTS], clean, (line) => line.match(/http:\/\/[\d.]+:\d+/)?.[0]),
  );
  const urls = await Promise.all(simulators.map((simulator) => simulator.ready));
  const env = { ...clean, LB_HOST: "127.0.0.1", LB_PORT: "0", LB_ADMIN_PORT: "0", LB_CLIENT_KEYS: "node:clients-own,team-a:a-long-random-key" };
  urls.forEach((url, index) => {
    env[`BACKEND_${index + 1}_URL`] = url;
    env[`BACKEND_${index + 1}_APIKEY`] = `key-of-${index + 1}`;
  });
  const balancer = start(["serve"], env, (line) => line.match(/"event":"Listening on (http:\/\/[\d.:]+)".*"admin":"([^"]+)"/));
  const [, url, admin] = await balancer.ready;
  const children = [balancer, ...simulators].map(({ child }) => child);
  return { url, urls, admin, log: balancer.lines, stop: () => Promise.all(children.map(end)) };
}

function end(child) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  return ended;
}

/** What is to go wrong at an endpoint from now on; nothing else does. */
export async function faults(url, ...add) {
  await fetch(`${url}/_sim/faults`, { method: "POST", body: JSON.stringify({ clear: true, add }) });
}

export async function json(url) {
  return (await fetch(url)).json();
}

export async function until(so, seconds = 5) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    if (await so()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not within ${seconds} s: ${so}`);
}
