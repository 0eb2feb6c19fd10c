/** The fans of a tensor, also where its scheme does not use them. */

import { dtypeOf } from "../../src/dtypes.js";
import { DrawError } from "../../src/errors.js";
import { type Fans, type Mode, MAX_KERNEL_RANK, fansOf, squared } from "../../src/fans.js";
import { rounded } from "../../src/scalars.js";
import { type Tensor, hasFans, tensorFans } from "../../src/schemes/base.js";
import type { FansAnswer } from "../protocol.js";

/** Return the layout by which axes of the tensor are inputs and outputs. */
export function layoutOf(tensor: Tensor): "keras" | "torch" {
  return (tensor.values.layout ?? tensor.defaults.layout) === "torch" ? "torch" : "keras";
}

/** Return whether the recipe states no layout for the tensor. */
const isAssumed = (tensor: Tensor): boolean => !tensor.given.has("layout") && tensor.defaults.layout === undefined;

/**
 * Return the fans of a tensor. Throws `DrawError` where its shape has none, and where they depend on a layout that neither
 * the recipe states nor the distribution uses: it may be that of another framework.
 */
export function fansFor(tensor: Tensor): Fans {
  if (hasFans(tensor)) return tensorFans(tensor);
  const of = (layout: "keras" | "torch") =>
    fansOf(tensor.shape, { layout, in_axes: null, out_axes: null, batch_axes: [], groups: 1, depthwise: false, transposed: false });
  const found = of(layoutOf(tensor));
  if (isAssumed(tensor) && found.fanIn !== of("torch").fanIn)
    throw new DrawError("layout", 'the recipe does not say which axes are inputs. Add "layout": "torch" or "layout": "keras" to it; these weights stay the same');
  return found;
}

/** Return the fans as the page shows them. */
export function fansAnswer(tensor: Tensor): FansAnswer {
  const { rank } = tensor;
  if (!hasFans(tensor) && rank < 2) return { reason: `a tensor of ${rank ? "one axis" : "no axes"} has no inputs and outputs` };
  if (!hasFans(tensor) && rank > MAX_KERNEL_RANK) return { reason: `more than ${MAX_KERNEL_RANK} axes do not say which of them are inputs and outputs` };
  try {
    const fans = fansFor(tensor),
      { mode, in_axes } = tensor.values;
    return {
      fanIn: String(fans.fanIn),
      fanOut: String(fans.fanOut),
      layout: (in_axes ?? null) === null && (hasFans(tensor) || !isAssumed(tensor)) ? layoutOf(tensor) : null,
      isAssumed: isAssumed(tensor),
      isUsed: hasFans(tensor),
      selected: typeof mode === "string" ? { mode, n: Math.sqrt(rounded(squared(fans, mode as Mode), dtypeOf("F64"))) } : null,
    };
  } catch (error) {
    if (error instanceof DrawError) return { reason: error.message };
    throw error;
  }
}
