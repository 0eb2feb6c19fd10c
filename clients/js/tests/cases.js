// Compares recipes with what another client makes of them.
//
// A case has `recipe`, a text. It has `refused`, or `canonical`, `digest`, `size` and `ranges` of the file, each with
// `start`, `stop` and `data` in hexadecimal digits.
import { FileLayout, Generator, Recipe, RecipeError, loadKernels, rangeOf } from "../dist/index.js";

/** Return the recipes of which something differs, each with a text that tells what. */
export async function differences(cases) {
  const generators = await Promise.all([true, false].map(async (simd) => new Generator(await loadKernels(simd))));
  return cases.map((given) => [given.recipe, difference(given, generators)]).filter(([, found]) => found);
}

const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

function difference(given, generators) {
  let layout;
  try {
    layout = FileLayout.of(Recipe.from(given.recipe));
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return given.refused ? "" : `refused: ${error.message}`;
  }
  if (given.refused) return "not refused";
  const { canonical, digest } = layout.recipe;
  if (canonical !== given.canonical) return `canonical text ${canonical}`;
  if (digest !== given.digest) return `digest ${digest}`;
  if (String(layout.size) !== given.size) return `size ${layout.size}`;
  for (const { start, stop, data } of given.ranges) {
    for (const generator of generators) {
      const found = hex(rangeOf(layout, generator, BigInt(start), BigInt(stop)));
      if (found !== data) return `bytes ${start} to ${stop}: ${found}`;
    }
  }
  return "";
}
