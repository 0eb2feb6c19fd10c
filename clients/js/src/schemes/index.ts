/** Every scheme, by its name and by its aliases. */

import type { Scheme } from "./base.js";
import { blocksScheme } from "./blocks.js";
import { MATRICES } from "./matrices.js";
import { PLAIN } from "./plain.js";
import { quantizedScheme } from "./quantized.js";
import { TABLES } from "./tables.js";
import { WAVES } from "./waves.js";

const found = new Map<string, Scheme>();
for (const scheme of [...PLAIN, ...MATRICES, ...TABLES, ...WAVES, blocksScheme(found), quantizedScheme(found)]) {
  for (const name of [scheme.name, ...scheme.aliases]) found.set(name, scheme);
}

export const SCHEMES: ReadonlyMap<string, Scheme> = found;
