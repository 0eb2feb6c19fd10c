// The schemes and the dialects, beside those of the Python library, which writes page/vocabulary.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { DIALECTS } from "../dist/dialects/index.js";
import { schemes } from "../dist/index.js";

const vocabulary = JSON.parse(readFileSync(new URL("../page/vocabulary.json", import.meta.url), "utf8"));
/** Return the defaults by parameter, as JSON; "required" where there is none. */
const defaults = (parameters, read) => Object.fromEntries(Object.entries(parameters).map(([name, each]) => [name, read(each)]));
const plain = (value) => (value === undefined ? "required" : typeof value === "bigint" ? Number(value) : value);

test("the schemes have the names, parameters and defaults of the Python library", () => {
  const found = new Map(schemes().map((each) => [each.name, each]));
  assert.deepEqual([...found.keys()].sort(), Object.keys(vocabulary.schemes).sort());
  for (const [name, { aliases, parameters }] of Object.entries(vocabulary.schemes)) {
    assert.deepEqual([...found.get(name).aliases].sort(), [...aliases].sort(), name);
    const wanted = defaults(parameters, (each) => plain(each.default));
    assert.deepEqual(defaults(found.get(name).parameters, (each) => (each.isRequired ? "required" : plain(each.default))), wanted, name);
  }
});

test("so have the initializers of the dialects", () => {
  assert.deepEqual([...DIALECTS.keys()].sort(), Object.keys(vocabulary.dialects).sort());
  for (const [dialect, initializers] of Object.entries(vocabulary.dialects)) {
    for (const [name, parameters] of Object.entries(initializers)) {
      const wanted = defaults(parameters, (each) => plain(each.default));
      // An axis of JAX is a number or a list of them.
      const single = (value) => (Array.isArray(value) && value.length === 1 ? value[0] : value);
      assert.deepEqual(defaults(DIALECTS.get(dialect).get(name).parameters, (each) => single(plain(each.default))), wanted, `${dialect} ${name}`);
    }
  }
});
