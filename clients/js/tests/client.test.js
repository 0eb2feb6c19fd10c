// The client, against a server that loses connections, forgets recipes and is busy.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";

import { FileLayout, Recipe, ServiceError, fromService, range, tensor, verify } from "../dist/index.js";

const recipe = Recipe.from({ seed: 5, tensors: { w: { shape: [300, 100], scheme: "normal", std: 1 } } });
const layout = FileLayout.of(recipe),
  file = await range(recipe, 0, layout.size);
/** The responses to the next requests for the file. The server takes the first of the list each time. */
let plan = [],
  requests = [],
  known = new Set();

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    requests.push(
      `${request.method} ${request.url} ${request.headers.range ?? ""} ${request.headers.authorization ?? ""}`.trim(),
    );
    if (request.method === "POST") {
      const digest = Recipe.from(Buffer.concat(chunks).toString()).digest;
      known.add(digest);
      response.writeHead(201, { "Content-Type": "application/json" }).end(JSON.stringify({ digest }));
      return;
    }
    const step = plan.shift() ?? "serve";
    if (step === "busy") {
      response.writeHead(503, { "Retry-After": "0" }).end();
      return;
    }
    if (step === "busy for a minute") {
      response.writeHead(503, { "Retry-After": "60" }).end();
      return;
    }
    if (step === "refuse") {
      response
        .writeHead(403, { "Content-Type": "application/problem+json" })
        .end(JSON.stringify({ title: "Forbidden", detail: "no key" }));
      return;
    }
    if (step === "reset") {
      request.socket.destroy();
      return;
    }
    if (!known.has(recipe.digest)) {
      response.writeHead(404).end();
      return;
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range).map(Number),
      body = file.subarray(first, last + 1);
    const headers = { ETag: step === "other" ? '"x"' : `"${recipe.digest}"` };
    if (step === "whole") {
      response.writeHead(200, headers).end(file);
      return;
    }
    if (step === "misplace") {
      response.writeHead(206, { ...headers, "Content-Range": `bytes ${first}-${last}/${file.length}`, "Content-Length": file.length });
      response.end(file);
      return;
    }
    response.writeHead(206, {
      ...headers,
      "Content-Length": body.length,
      "Content-Range": `bytes ${first}-${last}/${file.length}`,
    });
    if (step === "lose") {
      response.write(body.subarray(0, 1000), () => setTimeout(() => request.socket.destroy(), 20));
      return;
    }
    response.end(body);
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => server.close());
const service = fromService(`http://127.0.0.1:${server.address().port}`, { token: "secret", backoff: 0.001 });

function begin(...steps) {
  [plan, requests] = [steps, []];
}

test("a recipe that the service does not have is registered", async () => {
  known = new Set();
  begin();
  assert.deepEqual(await service.range(recipe, 10, 5000), file.slice(10, 5000));
  assert.deepEqual(
    requests.map((each) => each.split(" ")[0]),
    ["GET", "POST", "GET"],
  );
  assert.ok(requests.every((each) => each.endsWith("Bearer secret")));
});

test("a download goes on behind lost connections, resets and a busy service", async () => {
  begin("lose", "busy", "reset", "lose");
  await verify(service.stream(recipe), recipe);
  assert.equal(requests.length, 5);
  assert.match(requests[1], /bytes=1000-/);
  assert.match(requests.at(-1), /bytes=2000-/);
});

test("a response of the whole file has the range in it", async () => {
  begin("whole");
  assert.deepEqual(await service.range(recipe, 700, 1800), file.slice(700, 1800));
});

test("a whole file below the head of a range is refused", async () => {
  begin("misplace");
  await assert.rejects(
    service.range(recipe, 700, 1800),
    (error) => error instanceof ServiceError && error.message.includes(`Content-Length ${file.length}`),
  );
});

test("another version, a refusal and a service that stays busy are errors", async () => {
  begin("other");
  await assert.rejects(
    service.range(recipe, 0, 10),
    (error) => error instanceof ServiceError && /version/.test(error.message),
  );
  begin("refuse");
  await assert.rejects(
    service.range(recipe, 0, 10),
    (error) => error instanceof ServiceError && error.status === 403 && /no key/.test(error.message),
  );
  assert.equal(requests.length, 1);
  begin(...Array(20).fill("busy"));
  await assert.rejects(service.range(recipe, 0, 10), (error) => error instanceof ServiceError && error.status === 503);
  assert.equal(requests.length, 6);
});

test("registering returns the digest, and an aborted request is not tried again", async () => {
  begin();
  assert.equal(await service.register(recipe), recipe.digest);
  const own = fromService(`http://127.0.0.1:${server.address().port}/`, { signal: AbortSignal.abort() });
  begin();
  await assert.rejects(own.range(recipe, 0, 10), { name: "AbortError" });
  assert.equal(requests.length, 0);
  assert.throws(() => fromService("http://a:b@127.0.0.1/"), TypeError);
});

test("a wait for a busy service ends with the signal", { timeout: 20_000 }, async () => {
  const controller = new AbortController(),
    own = fromService(`http://127.0.0.1:${server.address().port}/`, { signal: controller.signal });
  begin("busy for a minute");
  const waiting = own.range(recipe, 0, 10);
  while (!requests.length) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50)); // the response arrives, and the wait begins
  controller.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  assert.equal(requests.length, 1);
});

test("one tensor alone is requested, also of a type of four bits", async () => {
  known.clear();
  requests = [];
  const { start, stop } = layout.entry("w");
  const { data } = await service.tensor(recipe, "w");
  assert.deepEqual(new Uint8Array(data.buffer), file.slice(Number(start)));
  assert.deepEqual([data.constructor, data.length], [Float32Array, 30000]);
  assert.ok(requests.filter((each) => each.startsWith("GET")).every((each) => each.includes(`bytes=${start}-${stop - 1n}`)), requests.join());
  await assert.rejects(service.tensor(recipe, "v"), RangeError);
  const small = FileLayout.of({ shape: [3, 4], scheme: "normal", std: 0.3, dtype: "F4" });
  const entry = small.entry("weight");
  const bytes = await range(small, entry.start, entry.stop);
  const fetched = await fromService("http://127.0.0.1/", {
    fetch: async () => new Response(bytes, { status: 206, headers: { "Content-Range": `bytes ${entry.start}-${entry.stop - 1n}/${small.size}` } }),
  }).tensor(small, "weight");
  assert.deepEqual(fetched, await tensor(small, "weight"));
});

test("a request that gets no response says why", async () => {
  const idle = createServer();
  await new Promise((resolve) => idle.listen(0, "127.0.0.1", resolve));
  const { port } = idle.address();
  await new Promise((resolve) => idle.close(resolve));
  const failed = fromService(`http://127.0.0.1:${port}`, { attempts: 0 }).register(recipe);
  await assert.rejects(failed, (error) => error instanceof ServiceError && error.message.includes(`ECONNREFUSED 127.0.0.1:${port}`));
});

test("a service that sends nothing is not waited for", async () => {
  const bytes = await range(layout, 0, 1000),
    head = { status: 206, headers: { "Content-Range": `bytes 0-999/${layout.size}` } };
  const silent = () => new Promise(() => {});
  const stops = new ReadableStream({ start: (controller) => controller.enqueue(bytes.slice(0, 10)), cancel: silent });
  const cases = [silent, async () => new Response(stops, head), async () => ({ ok: false, status: 500, headers: new Headers({ "Content-Type": "application/problem+json" }), json: silent })];
  for (const answer of cases) {
    let signal;
    const fetch = (_, options) => ((signal = options.signal), answer());
    const failed = fromService("http://127.0.0.1/", { fetch, timeout: 0.05, attempts: 0 }).range(layout, 0, 1000);
    await assert.rejects(failed, (error) => error instanceof ServiceError && /nothing arrived for 0.05 seconds$/.test(error.message));
    assert.ok(signal.aborted);
  }
  const calls = [];
  const fetch = (_, { headers }) => (calls.push(headers.Range), calls.length === 1 ? silent() : Promise.resolve(new Response(bytes, head)));
  const found = await fromService("http://127.0.0.1/", { fetch, timeout: 0.5, backoff: 0 }).range(layout, 0, 1000);
  assert.deepEqual([found, calls], [bytes, ["bytes=0-999", "bytes=0-999"]]);
  assert.throws(() => fromService("http://127.0.0.1/", { timeout: 0 }), RangeError);
  const slow = async () => new Response(new ReadableStream({ pull: (controller) => new Promise((resolve) => setTimeout(resolve, 20)).then(() => controller.enqueue(bytes.slice(0, 100))) }), head);
  await fromService("http://127.0.0.1/", { fetch: slow, timeout: 1 }).range(layout, 0, 1000);
});

test("a request is aborted with the reason of the caller's signal", async () => {
  const control = new AbortController(),
    fetch = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const failed = fromService("http://127.0.0.1/", { fetch, signal: control.signal }).register(recipe);
  control.abort(new Error("enough"));
  await assert.rejects(failed, /enough/);
  await assert.rejects(fromService("http://127.0.0.1/", { fetch: globalThis.fetch, signal: control.signal }).register(recipe), /enough/);
});
