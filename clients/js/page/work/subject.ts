/** The recipe that the page shows, and the tensors that it asks about. */

import { FileLayout, type Entry } from "../../src/layout.js";
import type { Tensor } from "../../src/schemes/base.js";
import { FaninError } from "../../src/errors.js";
import { parseJson, toJson } from "../../src/json.js";
import type { Subject } from "../protocol.js";

export interface Found {
  readonly entry: Entry;
  readonly tensor: Tensor;
}

let current: FileLayout | null = null;

export const setLayout = (layout: FileLayout): void => {
  current = layout;
};

/** Return the layout of the last valid recipe. */
export function layoutNow(): FileLayout {
  if (!current) throw new FaninError("there is no valid recipe yet");
  return current;
}

/** Return the entry and the tensor of a subject. Throws `RecipeError` for wrong members. */
export function find({ name, members }: Subject): Found {
  const layout = layoutNow(),
    tensor = layout.recipe.tensors.get(name);
  if (!tensor) throw new FaninError(`the recipe has no tensor ${name}`);
  if (members === undefined) return { entry: layout.entry(name), tensor };
  const given = parseJson(members);
  if (!(given instanceof Map)) throw new FaninError("the members must be a JSON object");
  const made = new Map(given)
    .set("dtype", given.get("dtype") ?? tensor.dtype.name)
    .set("shape", toJson(tensor.shape));
  const fanLayout = tensor.values.layout ?? tensor.defaults.layout;
  const other = FileLayout.of({
    seed: layout.recipe.seed,
    ...(typeof fanLayout === "string" && { layout: fanLayout }),
    tensors: { [name]: made },
  });
  return { entry: other.entry(name), tensor: other.recipe.tensors.get(name)! };
}
