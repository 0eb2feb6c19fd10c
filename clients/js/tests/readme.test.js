// Runs the code of README.md, with a server in place of the service.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { FileLayout, Generator, Recipe, loadKernels, rangeOf } from "../dist/index.js";

const folder = new URL("../.readme/", import.meta.url);

test("the code of the README runs", async (context) => {
  const generator = new Generator(await loadKernels()),
    layouts = new Map();
  const server = createServer(async (request, response) => {
    if (request.method === "POST") {
      const layout = FileLayout.of(Recipe.from(Buffer.concat(await request.toArray())));
      layouts.set(`/v1/recipes/${layout.recipe.digest}/model.safetensors`, layout);
      response.end(JSON.stringify({ digest: layout.recipe.digest }));
      return;
    }
    const layout = layouts.get(request.url);
    if (!layout) {
      response.writeHead(404).end();
      return;
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range).map(Number);
    response.writeHead(206, { "Content-Range": `bytes ${first}-${last}/${layout.size}` });
    response.end(rangeOf(layout, generator, BigInt(first), BigInt(last) + 1n));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());

  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map((match) => match[1]);
  assert.equal(blocks.length, 6);
  const service = `http://127.0.0.1:${server.address().port}`;
  const code = blocks.join("").replace("https://weights.example.org", service).replace('"..."', '"key"').replaceAll('"model.safetensors"', JSON.stringify(fileURLToPath(new URL("model.safetensors", folder))));
  assert.match(code, new RegExp(service));
  // A module below the package's folder may import the package by its name.
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL("readme.js", folder), `${code}\nexport { weight, rows, column, every, header, bytes, served, normal };\n`);
  const found = await import(new URL("readme.js", folder));
  assert.deepEqual(
    [found.weight.shape, found.rows.shape, found.column.shape, found.every.shape],
    [[784, 10], [10, 10], [784], [392]],
  );
  assert.deepEqual(found.rows.data, found.weight.data.slice(1000, 1100));
  assert.deepEqual(found.served, found.weight);
  assert.deepEqual(found.bytes, found.header);
  assert.deepEqual(found.normal.parameters, { mean: { isRequired: false, default: 0 }, std: { isRequired: true } });
  assert.equal(found.header.length, 100);
});
