// Ranges, slices, streams and verification, against the complete file.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  FileError,
  FileLayout,
  MismatchError,
  Recipe,
  RecipeError,
  fileStream,
  materialize,
  numbers,
  range,
  slice,
  tensor,
  verify,
} from "../dist/index.js";

const recipe = {
  seed: 7,
  tensors: {
    a: { shape: [5, 7, 3], scheme: "normal", std: 0.02, dtype: "F64" },
    b: { shape: [9, 4], scheme: "truncated_normal", std: 1, dtype: "BF16" },
    c: { shape: [3, 3], scheme: "eye" },
    d: { shape: [4, 4], scheme: "orthogonal" },
    e: { shape: [6, 4], scheme: "sparse", sparsity: 0.5, std: 1 },
    f: { shape: [5], scheme: "uniform", low: -1, high: 1, dtype: "C64" },
    g: { shape: [6], scheme: "arange", dtype: "I64", start: -2 },
    h: { shape: [0, 3], scheme: "zeros" },
    i: { shape: [11, 6], scheme: "sinusoidal", padding: 2 },
    j: { shape: [], scheme: "ones", dtype: "F16" },
  },
};
const layout = FileLayout.of(recipe),
  size = Number(layout.size);
const file = await range(recipe, 0, size);

test("any range is a part of the file", async () => {
  for (let start = 0; start <= size; start += 13) {
    for (const length of [0, 1, 2, 3, 7, 50, 301]) {
      const stop = Math.min(start + length, size);
      assert.deepEqual(await range(layout, start, stop), file.subarray(start, stop), `${start} to ${stop}`);
    }
  }
  await assert.rejects(range(layout, 0, size + 1), RangeError);
  await assert.rejects(range(layout, 5, 4), RangeError);
});

test("tensors have the bytes of the file", async () => {
  const found = await materialize(layout);
  assert.deepEqual(
    [...found.keys()],
    layout.entries.map((entry) => entry.name),
  );
  for (const { name, start, stop } of layout.entries) {
    const { data } = found.get(name);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    assert.deepEqual(bytes, file.slice(Number(start), Number(stop)), name);
    assert.deepEqual((await tensor(layout, name)).data, data);
  }
  assert.deepEqual([...found.get("g").data], [-2n, -1n, 0n, 1n, 2n, 3n]);
  assert.deepEqual([...numbers(found.get("j"))], [1]);
  assert.equal(
    numbers(found.get("b")).every((value) => Math.abs(value) <= 2 && value !== 0),
    true,
  );
  await assert.rejects(tensor(layout, "z"), RangeError);
});

test("a slice has the elements of the tensor", async () => {
  const { data, shape } = await tensor(layout, "a");
  const at = (i, j, k) => data[(i * shape[1] + j) * shape[2] + k];
  for (const [index, i, j, k, kept] of [
    [[], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2], [5, 7, 3]],
    [[2], [2], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2], [7, 3]],
    [[-1, [1, 6, 2]], [4], [1, 3, 5], [0, 1, 2], [3, 3]],
    [
      [[1, 4], null, [0, null, 2]],
      [1, 2, 3],
      [0, 1, 2, 3, 4, 5, 6],
      [0, 2],
      [3, 7, 2],
    ],
    [[[0, 2], -2, [1, 2]], [0, 1], [5], [1], [2, 1]],
    [[[3, 3]], [], [0], [0], [0, 7, 3]],
    [[1, 2, 0], [1], [2], [0], []],
    [
      [
        [-2, 100],
        [0, -5],
      ],
      [3, 4],
      [0, 1],
      [0, 1, 2],
      [2, 2, 3],
    ],
  ]) {
    const found = await slice(layout, "a", index);
    assert.deepEqual(found.shape, kept, JSON.stringify(index));
    const wanted = i.flatMap((x) => j.flatMap((y) => k.map((z) => at(x, y, z))));
    assert.deepEqual([...found.data], wanted, JSON.stringify(index));
  }
  await assert.rejects(slice(layout, "a", [5]), RangeError);
  await assert.rejects(slice(layout, "a", [0, 0, 0, 0]), RangeError);
  for (const index of [0, "0", null, {}, ["1"], [1n], [{}], [[0, 2, 1, 1]]])
    await assert.rejects(slice(layout, "a", index), TypeError, JSON.stringify(String(index)));
});

test("a part of a tensor larger than any memory", async () => {
  const large = { shape: [2 ** 40, 8], scheme: "normal", std: 1, seed: 3 };
  const row = await slice(large, "weight", [2 ** 39 + 5]);
  const {
    entries: [entry],
  } = FileLayout.of(large);
  const at = entry.start + (2n ** 39n + 5n) * 8n * 4n;
  assert.deepEqual(new Uint8Array(row.data.buffer), await range(large, at, at + 32n));
  assert.notDeepEqual((await slice(large, "weight", [5])).data, row.data); // the upper half of the index counts
});

test("a stream has the file", async () => {
  const parts = [];
  for await (const chunk of fileStream(layout)) parts.push(chunk);
  assert.deepEqual(new Uint8Array(Buffer.concat(parts)), file);
  const some = [];
  for await (const chunk of fileStream(layout, { start: 100, stop: 333n })) some.push(chunk);
  assert.deepEqual(new Uint8Array(Buffer.concat(some)), file.slice(100, 333));
});

test("verify accepts the file and finds every change", async () => {
  assert.equal((await verify(file)).recipe.digest, Recipe.from(recipe).digest);
  await verify(new Blob([file]), recipe);
  await verify(fileStream(layout));
  await verify(
    (async function* () {
      for (const byte of file) yield Uint8Array.of(byte);
    })(),
  );
  for (const { name, start, dtype, count } of layout.entries) {
    if (!count) continue;
    const damaged = file.slice(),
      element = count - 1n;
    damaged[Number(start + element * BigInt(dtype.size))] ^= 1;
    await assert.rejects(
      verify(damaged),
      (error) => error instanceof MismatchError && error.tensor === name && error.element === element,
    );
  }
  await assert.rejects(verify(file.slice(0, -1)), MismatchError);
  await assert.rejects(verify(Buffer.concat([file, Buffer.of(0)])), MismatchError);
  const header = file.slice();
  header[layout.header.length - 1] ^= 1; // padding
  await assert.rejects(verify(header, recipe), (error) => error instanceof MismatchError && error.tensor === null);
});

test("elements of F4, two in a byte", async () => {
  const halves = { shape: [40_000, 6], scheme: "uniform", low: -6, high: 6, dtype: "F4", seed: 3 };
  const known = FileLayout.of(halves),
    start = known.header.length,
    content = await range(known, 0, Number(known.size));
  assert.equal(content.length, start + 120_000);
  const { data, shape } = await tensor(known, "weight");
  assert.deepEqual(shape, [40_000, 6]);
  for (let n = 0; n < data.length; n += 2) assert.equal(content[start + n / 2], data[n] + 16 * data[n + 1]);
  assert.deepEqual([...new Set(numbers({ name: "weight", shape, dtype: "F4", data }))].sort((a, b) => a - b), [
    -6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6,
  ]);
  const part = await slice(known, "weight", [
    [7, 9],
    [1, 4],
  ]);
  assert.deepEqual([...part.data], [...data.slice(43, 46), ...data.slice(49, 52)]);
  assert.deepEqual(await range(known, start + 77, start + 99_999), content.subarray(start + 77, start + 99_999));
  for (const [bits, element] of [
    [0x01, 20n],
    [0x10, 21n],
    [0x11, 20n],
  ]) {
    const damaged = content.slice();
    damaged[start + 10] ^= bits;
    await assert.rejects(verify(damaged), (error) => error instanceof MismatchError && error.element === element);
  }
  for (const odd of [[], [3], [2, 5], [0, 1]])
    assert.throws(() => FileLayout.of({ shape: odd, scheme: "zeros", dtype: "F4" }), /the last size must be even/);
});

test("a recipe from an object", () => {
  assert.throws(() => Recipe.from({ shape: Array(2), scheme: "zeros" }), RecipeError);
  assert.equal(Recipe.from({ seed: 2n ** 64n - 1n, shape: [2], scheme: "zeros" }).seed, 2n ** 64n - 1n);
  assert.throws(() => Recipe.from({ seed: 2 ** 60, shape: [2], scheme: "zeros" }), RecipeError); // it may have been rounded
  assert.throws(() => Recipe.from({ shape: [2], scheme: "zeros" }).seeded(-1), RecipeError);
  assert.equal(Recipe.from({ shape: [2], scheme: "zeros" }).seeded("5").seed, 5n);
});

test("a small power decides a tie", async () => {
  // `low` is in the middle of two float32 numbers. A power of 1/2 moves it towards `high`, however small it is.
  for (const power of [65, 3e9, 2n ** 64n - 1n, 1e300]) {
    for (const [high, middle] of [[3, 1 + 2 ** -23], [-3, 1]]) { // prettier-ignore
      const { data } = await tensor({ shape: [3], scheme: "power_range", low: 1 + 2 ** -24, high, power }, "weight");
      assert.deepEqual([...data], [1, middle, high]);
    }
  }
});

test("what cannot be verified is named, with what can", async () => {
  for (const [file, said] of [["model.safetensors", /a path.*createReadStream/], [7, /a value of the type number/], [null, /createReadStream/]])
    await assert.rejects(verify(file), (error) => error instanceof TypeError && said.test(error.message));
});

test("a wrong name is refused with the names that exist", () => {
  const cases = [
    [{ shape: [2], scheme: "he_norml" }, "/scheme", "unknown scheme; did you mean he_normal?"],
    [{ shape: [2], scheme: "HeNormal" }, "/scheme", 'unknown scheme; did you mean he_normal, or HeNormal with "dialect": "keras"?'],
    [{ shape: [2], scheme: "trunc_normal_" }, "/scheme", 'unknown scheme; did you mean trunc_normal_ with "dialect": "torch"?'],
    [{ shape: [2], scheme: "qqqqqqqqq" }, "/scheme", "unknown scheme; schemes() lists all"],
    [{ shape: [2], scheme: "normal", stdd: 1, std: 1 }, "/stdd", "normal has no such member; did you mean std?"],
    [{ shape: [2], scheme: "zeros", deviation: 1 }, "/deviation", "zeros has no such member; there are scheme, shape, dtype"],
    [{ shape: [2], scheme: "xavier_uniform", dialect: "torch", gian: 2 }, "/gian", "the initializer has no such parameter; did you mean gain?"],
  ];
  for (const [wrong, pointer, detail] of cases) assert.deepEqual(faultsOf(wrong), [{ pointer, detail }]);
  const [{ detail }] = faultsOf({ shape: [2], scheme: "zeros", dtype: "fp16" });
  assert.match(detail, /^unknown storage type; there are U64, .*BOOL; did you mean F16\?$/);
  assert.deepEqual(faultsOf({ sead: 1, tensors: {} }), [{ pointer: "/sead", detail: "a recipe has no such member; did you mean seed?" }]);
});

function faultsOf(wrong) {
  try {
    Recipe.from(wrong);
  } catch (error) {
    assert.ok(error instanceof RecipeError);
    return error.faults;
  }
  return assert.fail("it was accepted");
}

test("an index may be any array", async () => {
  const index = [[0, 2], null];
  const found = await slice({ shape: [3, 2], scheme: "ones" }, "weight", index);
  assert.deepEqual(found.shape, [2, 2]);
  for (const wrong of [[[]], [[0, 1, 1, 1]], [[0, 1, null]]]) await assert.rejects(slice({ shape: [3, 2], scheme: "ones" }, "weight", wrong));
});

test("a file of any chunks, and of views of any type, is verified", async () => {
  for (const length of [1, 7, 8, 9, 100, 4096]) {
    async function* parts() {
      for (let at = 0; at < size; at += length) yield file.subarray(at, at + length);
    }
    assert.equal((await verify(parts())).size, layout.size);
  }
  const even = file.slice(0, size - (size % 8)).buffer,
    rest = file.slice(size - (size % 8));
  for (const view of [new Float64Array(even), new Int8Array(even), new DataView(even), Buffer.from(even)]) {
    async function* parts() {
      yield view;
      yield rest;
    }
    assert.equal((await verify(parts())).size, layout.size);
  }
  assert.equal((await verify(new Int8Array(file.buffer, file.byteOffset, size))).size, layout.size);
  await assert.rejects(verify(file.subarray(0, 5)), FileError);
  await assert.rejects(verify(file.subarray(0, 50)), FileError);
  await assert.rejects(verify(new Uint8Array(50).fill(255)), FileError);
});

test("an object that contains itself is not a recipe", () => {
  const around = { shape: [2], scheme: "blocks", parts: [] };
  around.parts.push(around);
  assert.throws(() => Recipe.from(around), (error) => error instanceof RecipeError && /nested too deeply/.test(error.message));
});
