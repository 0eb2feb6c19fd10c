// Reads recipes and what another client makes of them, as JSON from standard input, and prints what differs.
//
// A case has `recipe`, a text. It has `refused`, or `canonical`, `digest`, `size` and `ranges` of the file, each with
// `start`, `stop` and `data` in hexadecimal digits.
import { FileLayout, Generator, Recipe, RecipeError, loadKernels, rangeOf } from "../dist/index.js";

let text = "";
for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
const generators = await Promise.all([true, false].map(async (simd) => new Generator(await loadKernels(simd))));

/** Return what differs; an empty text if nothing does. */
function difference(given) {
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
      const found = Buffer.from(rangeOf(layout, generator, BigInt(start), BigInt(stop))).toString("hex");
      if (found !== data) return `bytes ${start} to ${stop}: ${found}`;
    }
  }
  return "";
}

const cases = JSON.parse(text);
const differences = cases.map((given) => [given.recipe, difference(given)]).filter(([, found]) => found);
console.log(JSON.stringify({ count: cases.length, differences }));
