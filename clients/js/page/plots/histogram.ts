/** The histogram of a tensor's elements, with the density of its distribution. */

import type { Histogram, LookAnswer } from "../protocol.js";
import { svg } from "../ui/dom.js";
import { count, number, percent, things } from "../ui/words.js";
import { Frame, figure } from "./frame.js";

/** Return the histogram. Those of `others`, which stand beside it, have the same vertical axis. */
export function histogramFigure(look: LookAnswer, others: readonly LookAnswer[]): HTMLElement {
  const { histogram: found, dtype } = look;
  const title = "Values";
  if (!found || !look.measured) return figure(title, "The tensor has no elements.", []);
  const parts = dtype === "C64" ? "Real and imaginary parts of elements" : "Elements";
  if (look.measured.low === look.measured.high)
    return figure(title, `Every element is ${number(look.measured.low!, 9)}, so there is no histogram.`, []);
  const total = valuesOf(look);
  const heights = densities(found, total);
  const isCut = hasCut(found),
    top = Math.max(...[look, ...others].map(topOf));
  const [from, to] = [found.edges[0]!, found.edges.at(-1)!];
  const frame = new Frame(
    { from, to, label: "value" },
    { from: 0, to: top * 1.05, label: "part of all elements, per unit" },
  );
  const bars = heights.map((height, n) => {
    const x = frame.atX(found.edges[n]!);
    const y = frame.atY(height);
    return `M${x.toFixed(1)} ${frame.atY(0).toFixed(1)}V${y.toFixed(1)}H${frame.atX(found.edges[n + 1]!).toFixed(1)}V${frame.atY(0).toFixed(1)}Z`;
  });
  const beyond = found.below + found.above;
  const peak = heights.indexOf(Math.max(...heights));
  const text =
    `Histogram of ${count(total)} values from ${number(from)} to ${number(to)}. ` +
    `The highest of ${heights.length} bars is near ${number((found.edges[peak]! + found.edges[peak + 1]!) / 2)}.` +
    (found.density ? " The line is the density of the distribution." : "");
  const sentence =
    `${parts} by value: a bar is higher where there are more of them, and its area is their part of all` +
    (found.density ? ". The line is what the formula predicts, before rounding. Bars that follow the line show that the tensor has its distribution. Where a coarse type rounds many elements to one number, their bar is high." : ".") +
    (isCut ? ` Bars of single values, such as ${number(found.atoms[0]![0])} (${percent(found.atoms[0]![1])} of elements), are cut.` : "") +
    (beyond ? ` ${things(beyond, "element")} beyond the axis ${beyond === 1 ? "is" : "are"} not shown.` : "") +
    (others.length ? " The plots beside each other have the same axes." : "");
  return figure(
    title,
    sentence,
    [["bar", "elements"], ...(found.density ? [["law", "density of the distribution"] as const] : [])],
    frame.drawn(
      text,
      svg("path", { class: "bar", d: bars.join("") }),
      found.density && frame.line(found.density, "law"),
    ),
  );
}

/** A single value may have most of the elements. Its bar is cut, so that the others can be seen. */
const hasCut = ({ atoms, density }: Histogram) => atoms.length > 0 && density !== null;
const valuesOf = ({ sampled, dtype }: LookAnswer) => sampled * (dtype === "C64" ? 2 : 1);

/** Return the greatest height of a histogram and its line; 0 where none is drawn. */
function topOf(look: LookAnswer): number {
  const { histogram: found, measured } = look;
  if (!found || !measured || measured.low === measured.high) return 0;
  const line = (found.density ?? []).map(([, y]) => y);
  return hasCut(found) ? 1.25 * Math.max(...line) : Math.max(...[...densities(found, valuesOf(look)), ...line].filter(Number.isFinite));
}

function densities({ counts, edges }: Histogram, total: number): number[] {
  return counts.map((each, n) => each / total / (edges[n + 1]! - edges[n]!));
}
