/** Opens the built page in Firefox by WebDriver BiDi. Reads its recipe from standard input, writes what it shows as JSON. */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { servePage } from "./page-server.js";

// Node 20 has no WebSocket. The one of playwright-core is a part of the pinned package.
const { ws: WebSocket } = createRequire(import.meta.url)("playwright-core/lib/utilsBundle");
const { recipe, profile } = JSON.parse(readFileSync(0, "utf8"));
const server = await servePage(`{"service": false, "recipe": ${recipe}, "title": null}`);
const firefox = spawn("firefox-esr", ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"], {
  stdio: ["ignore", "ignore", "pipe"],
});
const address = await new Promise((resolve, reject) => {
  firefox.stderr.on("data", (text) => {
    const found = /BiDi listening on (ws:\S+)/.exec(text);
    if (found) resolve(found[1]);
  });
  firefox.on("exit", () => reject(new Error("Firefox ended")));
});
const socket = new WebSocket(`${address}/session`);
await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
const waiting = new Map(),
  errors = [];
socket.on("message", (data) => {
  const message = JSON.parse(data);
  if (message.id !== undefined) waiting.get(message.id)(message);
  else if (message.method === "log.entryAdded" && message.params.level === "error") errors.push(message.params.text);
});
async function call(method, params) {
  const id = waiting.size + 1;
  const found = await new Promise((resolve) => {
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ id, method, params }));
  });
  if (found.type === "error") throw new Error(`${method}: ${found.message}`);
  return found.result;
}
await call("session.new", { capabilities: {} });
await call("session.subscribe", { events: ["log.entryAdded"] });
const { context } = (await call("browsingContext.getTree", {})).contexts[0];
await call("browsingContext.navigate", { context, url: server.url, wait: "complete" });
const value = async (expression) => (await call("script.evaluate", { expression, target: { context }, awaitPromise: true })).result.value;
const isShown = "Boolean(document.querySelector('.view')?.dataset.shown && document.querySelector('#sha-file'))";
while (!(await value(isShown))) await new Promise((resolve) => setTimeout(resolve, 200));
const text = (selector) => value(`document.querySelector(${JSON.stringify(selector)}).textContent`);
const found = { tensor: await text("#sha-tensor"), file: await text("#sha-file"), std: Number(await text("[data-drawn=std]")), errors };
process.stdout.write(JSON.stringify(found));
socket.close();
firefox.kill();
server.close();
process.exit(0);
