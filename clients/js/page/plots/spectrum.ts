/** Singular values of a part of a tensor, beside the density of Marchenko and Pastur. */

import type { BlockAnswer } from "../protocol.js";
import { svg } from "../ui/dom.js";
import { number } from "../ui/words.js";
import { Frame, figure } from "./frame.js";

const BARS = 32;

/** Return whether there is something to draw: single values of different size. */
const isDrawn = ({ singular }: BlockAnswer) => singular !== null && singular[0]! - singular.at(-1)! > 1e-4 * singular[0]!;

/** Return what is known of the singular values of the complete matrix. */
function wholeOf({ matrix, whole }: BlockAnswer): string {
  if (!whole) return "";
  const [least, greatest] = whole,
    name = `complete ${matrix.join(" × ")} matrix`;
  return least === greatest ? ` All of the ${name} are ${number(greatest)}, but for the rounding of its elements.` : ` By its distribution, those of the ${name} lie between about ${number(least, 3)} and ${number(greatest, 3)}: a part has smaller ones.`;
}

/** Return the heights of the bars between two ends. */
function heightsOf(singular: readonly number[], from: number, width: number): number[] {
  const heights = new Array<number>(BARS).fill(0);
  for (const value of singular) heights[Math.min(Math.floor((value - from) / width), BARS - 1)]! += 1 / (singular.length * width);
  return heights;
}

/** Return the histogram of singular values. Those of `others`, which stand beside it, have the same axes. */
export function spectrumFigure(block: BlockAnswer, others: readonly BlockAnswer[]): HTMLElement {
  const { singular, law, size, matrix } = block;
  const isWhole = size[0] === matrix[0] && size[1] === matrix[1];
  const title = "Singular values";
  if (!singular) return figure(title, "Singular values need a real matrix of two rows and two columns or more.", []);
  const greatest = singular[0]!,
    least = singular.at(-1)!;
  const facts = `The greatest ${isWhole ? "" : "of this part "}is ${number(greatest)}, the least ${number(least)}.${wholeOf(block)}`;
  if (!greatest) return figure(title, "All singular values are 0.", []);
  if (!isDrawn(block))
    return figure(title, `All ${singular.length} singular values of this part are ${number(greatest)}: it keeps the length of every vector, times this factor.`, []);
  const all = [block, ...others].filter(isDrawn);
  const from = Math.min(...all.map((each) => Math.min(each.singular!.at(-1)!, each.law?.ends[0] ?? Infinity))),
    to = Math.max(...all.map((each) => Math.max(each.singular![0]!, each.law?.ends[1] ?? 0)));
  const width = (to - from) / BARS;
  const top = Math.max(
    ...all.map((each) => {
      const most = Math.max(...heightsOf(each.singular!, from, width));
      // The density of a square matrix has a peak near 0, which would make everything else flat.
      return Math.max(most, ...(each.law?.curve ?? []).map(([, y]) => Math.min(y, 2 * most)));
    }),
  );
  const heights = heightsOf(singular, from, width);
  const frame = new Frame({ from, to, label: "singular value" }, { from: 0, to: top * 1.05, label: "part of all, per unit" });
  const zero = frame.atY(0).toFixed(1);
  const bars = heights.map((height, n) => {
    const [a, b] = [frame.atX(from + n * width), frame.atX(from + (n + 1) * width)];
    return `M${a.toFixed(1)} ${zero}V${frame.atY(height).toFixed(1)}H${b.toFixed(1)}V${zero}Z`;
  });
  return figure(
    title,
    `How much ${isWhole ? "the matrix" : `a part of ${size.join(" × ")} of the matrix`} stretches vectors of its singular directions. ` +
      (law
        ? "The line is what a large matrix of independent elements has (Marchenko and Pastur). In so small a matrix, bars above and below the line are chance; values far beyond its ends would mean a pattern. "
        : block.isOrthogonal && !isWhole
          ? "A part of an orthogonal matrix is not orthogonal. "
          : "There is no line: it holds for independent elements with a mean of 0, and these are not. ") +
      facts,
    [["bar", "singular values"], ...(law ? [["law", "Marchenko and Pastur"] as const] : [])],
    frame.drawn(
      `Histogram of ${singular.length} singular values. ${facts}` +
        (law ? ` The density of Marchenko and Pastur ends at ${number(law.ends[0])} and ${number(law.ends[1])}.` : ""),
      svg("path", { class: "bar", d: bars.join("") }),
      law && frame.line(law.curve, "law"),
    ),
  );
}
