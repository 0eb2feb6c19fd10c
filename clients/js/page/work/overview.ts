/** The tensors of a recipe, as a table shows them. */

import { FileLayout } from "../../src/layout.js";
import { Recipe } from "../../src/recipe.js";
import type { Tensor } from "../../src/schemes/base.js";
import type { Kind, RecipeAnswer } from "../protocol.js";
import { layoutNow, setLayout } from "./subject.js";

/** Validate a recipe, and return its tensors. Throws `RecipeError`. */
export function overview(text: string): RecipeAnswer {
  const layout = FileLayout.of(text);
  const { recipe, entries } = layout;
  const places = new Map<Tensor, number>(),
    kinds: Kind[] = [],
    kindOf: number[] = [];
  let elements = 0;
  for (const entry of entries) {
    const tensor = recipe.tensors.get(entry.name)!;
    let place = places.get(tensor);
    if (place === undefined) {
      places.set(tensor, (place = kinds.length));
      kinds.push(kindOfTensor(tensor, Number(entry.stop - entry.start)));
    }
    kindOf.push(place);
    elements += Number(entry.count);
  }
  setLayout(layout);
  return {
    digest: recipe.digest,
    canonical: recipe.canonical,
    seed: String(recipe.seed),
    size: Number(layout.size),
    elements,
    names: entries.map((entry) => entry.name),
    kindOf,
    kinds,
  };
}

function kindOfTensor(tensor: Tensor, bytes: number): Kind {
  const { shape: _shape, dtype: _dtype, scheme: _scheme, ...rest } = tensor.canonical();
  const parameters = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value).slice(0, 200)}`);
  return {
    dtype: tensor.dtype.name,
    shape: tensor.shape,
    scheme: tensor.scheme.name,
    parameters: parameters.join(" "),
    bytes,
  };
}

/** Give the recipe another seed. Throws `RecipeError`. */
export function reseed(seed: string): { digest: string; seed: string; canonical: string } {
  const recipe: Recipe = layoutNow().recipe.seeded(seed);
  setLayout(FileLayout.of(recipe));
  return { digest: recipe.digest, seed: String(recipe.seed), canonical: recipe.canonical };
}
