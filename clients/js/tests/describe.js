/** Reads recipes from standard input, and writes the descriptions of their tensors as JSON. */

import { readFileSync } from "node:fs";
import { RecipeError, describe } from "../dist/index.js";

const found = JSON.parse(readFileSync(0, "utf8")).map((text) => {
  try {
    return Object.fromEntries(
      [...describe(text)].map(([name, { formula, moments, fans }]) => [
        name,
        { draw: formula, ...moments, ...(fans && { fan_in: Number(fans.fanIn), fan_out: Number(fans.fanOut) }) },
      ]),
    );
  } catch (error) {
    if (error instanceof RecipeError) return null;
    throw error;
  }
});
process.stdout.write(JSON.stringify(found));
