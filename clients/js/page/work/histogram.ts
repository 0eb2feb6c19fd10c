/** The histogram of a sample beside the density of its distribution. */

import type { DType } from "../../src/dtypes.js";
import type { Histogram, Numbers, Range } from "../protocol.js";
import type { Law } from "./density.js";
import { spacing } from "./grid.js";

const BARS = 64;
/** Standard deviations from the mean that are shown. */
const REACH = 4.5;
const POINTS = 241;

/** Return the ends of the axis. They are those of the distribution, so that a new seed does not move them. */
export function rangeOf({ mean, std, low, high }: Numbers): Range {
  return [Math.max(mean - REACH * std, low ?? -Infinity), Math.min(mean + REACH * std, high ?? Infinity)];
}

/** Return the histogram of values. Its edges lie between two numbers of the storage type, so that no bar has too many. */
export function histogram(values: Float64Array, dtype: DType, [from, to]: Range, law: Law | null): Histogram {
  const edges = edgesOf(from, to, dtype),
    counts = new Array<number>(edges.length - 1).fill(0);
  const first = edges[0]!,
    last = edges.at(-1)!,
    scale = counts.length / (last - first);
  let below = 0,
    above = 0;
  for (const value of values) {
    if (value < first) below++;
    else if (value > last) above++;
    else {
      let bar = Math.min(Math.floor((value - first) * scale), counts.length - 1);
      while (bar > 0 && value < edges[bar]!) bar--;
      while (bar < counts.length - 1 && value >= edges[bar + 1]!) bar++;
      counts[bar]!++;
    }
  }
  const width = (last - first) / (POINTS - 1);
  const density =
    law &&
    Array.from({ length: POINTS }, (_, n): [number, number] => {
      const x = first + n * width;
      return [x, law.at(x)];
    });
  const finite = density && density.some(([, y]) => y > 0) && density.every(([, y]) => Number.isFinite(y));
  return { edges, counts, below, above, density: finite ? density : null, atoms: law?.atoms ?? [] };
}

function edgesOf(from: number, to: number, dtype: DType): number[] {
  if (!(to > from)) return [from - 0.5, from + 0.5];
  if (dtype.kind === "integer") {
    const step = Math.max(1, Math.ceil((to - from + 1) / BARS));
    const found: number[] = [];
    for (let edge = Math.floor(from) - 0.5; ; edge += step) {
      found.push(edge);
      if (edge > to) return found;
    }
  }
  const even = Array.from({ length: BARS + 1 }, (_, n) => from + ((to - from) * n) / BARS);
  if (dtype.kind === "scale") return even;
  const found = even.map((edge) => between(edge, dtype));
  // The ends themselves are numbers of the type, and elements may equal them.
  if (found[0]! > from) found[0] = from - spacing(from, dtype) / 2;
  if (found[BARS]! < to) found[BARS] = to;
  return [...new Set(found)].sort((a, b) => a - b);
}

/** Return the middle of two numbers of the type that x lies between. */
function between(x: number, dtype: DType): number {
  const step = spacing(x, dtype);
  return (Math.floor(x / step) + 0.5) * step;
}
