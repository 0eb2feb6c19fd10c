// Every file of clients/vectors. `FANIN_STREAMS=n` takes each n-th vector of streams.json, whose tensors have 2^22 elements.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FileLayout, Generator, Recipe, RecipeError, loadKernels, rangeOf } from "../dist/index.js";
import { streamKey } from "../dist/streams.js";
import { narrow, dtypeOf } from "../dist/dtypes.js";
import { fansOf } from "../dist/fans.js";
import { vectors } from "./vectors.js";

const hex = (data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
const generators = [new Generator(await loadKernels(true)), new Generator(await loadKernels(false))];

/** The layout of a recipe, which has all of its checks. */
const layoutOf = (recipe) => FileLayout.of(Recipe.from(recipe));

function elements(generator, layout, name, first, count) {
  const entry = layout.entry(name),
    out = new Uint8Array(count * entry.dtype.size);
  generator.fill(entry.draw, entry.stream, entry.dtype, BigInt(first), out);
  return out;
}

/** Check one vector of a recipe: its canonical text, digest, file and data, or its refusal. */
function check(vector) {
  if (vector.refused) {
    assert.throws(
      () => layoutOf(vector.recipe),
      (error) => {
        assert.ok(error instanceof RecipeError, error);
        // A vector whose names have lone surrogates has no pointers.
        const pointers = error.faults.map((fault) => fault.pointer).sort();
        if (vector.fields.length) assert.deepEqual(pointers, [...vector.fields].sort());
        return true;
      },
    );
    return;
  }
  const layout = layoutOf(vector.recipe),
    { recipe } = layout;
  if (vector.canonical !== undefined) assert.equal(recipe.canonical, vector.canonical);
  if (vector.digest !== undefined) assert.equal(recipe.digest, vector.digest);
  for (const generator of generators) {
    if (vector.file !== undefined) assert.equal(hex(rangeOf(layout, generator, 0n, layout.size)), vector.file);
    if (vector.data === undefined) continue;
    const [entry] = layout.entries,
      size = entry.dtype.size;
    const count = vector.first === undefined ? Number(entry.count) : vector.data.length / 2 / size;
    assert.equal(hex(elements(generator, layout, entry.name, vector.first ?? 0, count)), vector.data);
  }
}

/** Check all vectors, and tell of all that fail. */
function all(name, checkOne) {
  test(`${name}.json`, () => {
    const found = vectors(name),
      failures = [];
    for (const vector of found) {
      try {
        checkOne(vector);
      } catch (error) {
        failures.push(`${JSON.stringify(vector).slice(0, 300)}\n    ${String(error.message).slice(0, 300)}`);
      }
    }
    assert.equal(failures.length, 0, `${failures.length} of ${found.length} fail:\n${failures.slice(0, 5).join("\n")}`);
  });
}

const FILES = [
  "recipes",
  "errors",
  "dtypes",
  "integers",
  "f8",
  "f4",
  "newer",
  "quantized",
  "repeated",
  "dialects",
  "files",
  "schemes",
  "far_schemes",
];
for (const name of FILES) all(name, check);

all("keys", ({ version, seed, name, purpose, key }) => {
  const words = streamKey({ version, seed: BigInt(seed), name }, purpose).map((word) =>
    word.toString(16).padStart(8, "0"),
  );
  assert.deepEqual(words, key);
});

/** The words of a block, from the upper halves of uniform float64 numbers. */
function wordsOf(generator, key, block) {
  const out = new Uint8Array(32);
  const unit = { kind: "uniform", center: 0, halfWidth: 1, low: -1, high: 1 };
  generator.kernels.fillWith(unit, [...key, 0, 0, 0, 0], dtypeOf("F64"), 4n * block, out);
  return Array.from(new Float64Array(out.buffer), (value) => {
    const odd = BigInt(value * 2 ** 53) + 2n ** 53n - 1n;
    return (odd >> 22n).toString(16).padStart(8, "0");
  });
}

all("words", ({ seed, name, purpose, block, words }) => {
  const key = streamKey({ version: "fanin/1", seed: BigInt(seed), name }, purpose);
  for (const generator of generators) assert.deepEqual(wordsOf(generator, key, BigInt(block)), words);
});

test("philox.txt", () => {
  const lines = readFileSync(new URL("../../vectors/philox.txt", import.meta.url), "utf8").split("\n");
  const known = lines.filter((line) => line && !line.startsWith("#")).map((line) => line.split(/ +/));
  assert.equal(known.length, 3);
  for (const words of known) {
    const [c0, c1, h0, h1, k0, k1] = words.slice(0, 6).map((word) => parseInt(word, 16));
    const block = BigInt(c0) + (BigInt(c1) << 32n);
    for (const generator of generators) assert.deepEqual(wordsOf(generator, [k0, k1, h0, h1], block), words.slice(6));
  }
});

all("fans", ({ kernel, fan_in, fan_out }) => {
  const { shape, ...parameters } = kernel;
  const defaults = {
    layout: "keras",
    in_axes: null,
    out_axes: null,
    batch_axes: [],
    groups: 1,
    depthwise: false,
    transposed: false,
  };
  const { fanIn, fanOut } = fansOf(shape, { ...defaults, ...parameters });
  assert.deepEqual([Number(fanIn), Number(fanOut)], [fan_in, fan_out]);
});

test("storage.json", () => {
  const view = new DataView(new ArrayBuffer(4));
  for (const [name, pairs] of Object.entries(vectors("storage"))) {
    for (const [from, to] of pairs) {
      view.setUint32(0, parseInt(from, 16));
      assert.equal(narrow(view.getFloat32(0), dtypeOf(name)), parseInt(to, 16), `${name} ${from}`);
    }
  }
});

/** The number of a C hexadecimal constant. */
function number(text) {
  const found = /^(-?)0x([01])(?:\.([0-9a-f]*))?p([+-]?\d+)$/.exec(text);
  if (!found) return { inf: Infinity, "-inf": -Infinity }[text] ?? Number(text);
  const [, sign, whole, part = "", exponent] = found;
  const significand = parseInt(whole + part, 16);
  return (sign ? -1 : 1) * significand * 2 ** (Number(exponent) - 4 * part.length);
}

all("draws", ({ tensor, draw, elements: given = [] }) => {
  const found = Recipe.from(tensor).tensors.get("weight").draw;
  const kinds = { Fill: "fill", Uniform: "uniform", Normal: "normal", TruncatedNormal: "truncated" };
  assert.equal(found.kind, kinds[draw.kind]);
  const side = (each) =>
    [each.count, each.tail_count, number(each.tail_offset), number(each.central_offset), number(each.step)].map(Number);
  const own = (each) => [each.count, each.tailCount, each.tailOffset, each.centralOffset, each.step];
  for (const [theirs, ours] of [
    ["value", "value"],
    ["center", "center"],
    ["half_width", "halfWidth"],
    ["mean", "mean"],
    ["std", "std"],
    ["low", "low"],
    ["high", "high"],
  ]) {
    if (draw[theirs] !== undefined) assert.equal(found[ours], number(draw[theirs]), theirs);
  }
  if (draw.negative)
    assert.deepEqual([own(found.negative), own(found.positive)], [side(draw.negative), side(draw.positive)]);
  const dtype = dtypeOf(tensor.dtype);
  if (dtype.name === "F64") return; // an element has two words there, in streams of one block number
  for (const [word, bits] of given) {
    const [c0, c1, h0, h1] = counterOf([parseInt(word, 16), 0, 0, 0]);
    const block = BigInt(c0) + (BigInt(c1) << 32n);
    const out = new Uint8Array(dtype.size);
    for (const { kernels } of generators) {
      kernels.fillWith(found, [0, 0, h0, h1, 0, 0, 0, 0], dtype, 4n * block, out);
      assert.deepEqual(bitsOf(out, dtype.size), [bits], word);
    }
  }
});

/** The counter of which Philox4x32-10 makes these words under the key 0: its rounds, undone from the last one on. */
function counterOf(words) {
  const M0 = 0xd2511f53n,
    M1 = 0xcd9e8d57n,
    MASK = 0xffffffffn;
  let [x0, x1, x2, x3] = words.map(BigInt);
  for (let round = 9n; round >= 0n; round--) {
    const c0 = (x3 * inverse(M0)) & MASK,
      c2 = (x1 * inverse(M1)) & MASK;
    const c1 = x0 ^ ((M1 * c2) >> 32n) ^ ((round * 0x9e3779b9n) & MASK);
    const c3 = x2 ^ ((M0 * c0) >> 32n) ^ ((round * 0xbb67ae85n) & MASK);
    [x0, x1, x2, x3] = [c0, c1, c2, c3];
  }
  return [x0, x1, x2, x3].map(Number);
}

/** The inverse of an odd number modulo 2^32: each step doubles the number of right bits. */
function inverse(odd) {
  let found = odd;
  for (let step = 0; step < 5; step++) found = (found * (2n - odd * found)) & 0xffffffffn;
  return found;
}

/** The bits of elements, the most significant digit first. */
function bitsOf(data, size) {
  return Array.from({ length: data.length / size }, (_, n) => hex(data.slice(n * size, (n + 1) * size).reverse()));
}

all("far", ({ seed, tensor, first, bits }) => {
  const layout = layoutOf({ seed, tensors: { weight: { shape: [64, 48], ...tensor } } });
  for (const generator of generators) {
    assert.deepEqual(
      bitsOf(elements(generator, layout, "weight", first, bits.length), layout.entries[0].dtype.size),
      bits,
    );
  }
});

all("orthogonal", ({ recipe, bits, sha256 }) => {
  const layout = layoutOf(recipe),
    { count, dtype, name } = layout.entries[0];
  for (const generator of bits ? generators : generators.slice(0, 1)) {
    const data = elements(generator, layout, name, 0, Number(count));
    if (bits) assert.deepEqual(bitsOf(data, dtype.size), bits);
    else assert.equal(createHash("sha256").update(data).digest("hex"), sha256);
  }
});

const step = Number(process.env.FANIN_STREAMS ?? 1);
let seen = 0;
all("streams", ({ seed, tensor, sha256 }) => {
  if (seen++ % step) return;
  const layout = layoutOf({ seed, tensors: { weight: tensor } });
  const data = elements(generators[0], layout, "weight", 0, Number(layout.entries[0].count));
  assert.equal(createHash("sha256").update(data).digest("hex"), sha256);
});
