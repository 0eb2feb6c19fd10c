/** Singular values of a part of a tensor, beside the density of Marchenko and Pastur. */

import type { BlockAnswer } from "../protocol.js";
import { svg } from "../ui/dom.js";
import { number } from "../ui/words.js";
import { Frame, figure } from "./frame.js";

const BARS = 32;

export function spectrumFigure({ singular, law, size }: BlockAnswer): HTMLElement {
  const title = "Singular values";
  if (!singular) return figure(title, "Singular values need a real matrix of two rows and two columns or more.", []);
  const greatest = singular[0]!,
    least = singular.at(-1)!;
  const facts = `The greatest is ${number(greatest)}, the least ${number(least)}.`;
  if (!greatest) return figure(title, "All singular values are 0.", []);
  if (greatest - least <= 1e-4 * greatest)
    return figure(title, `All ${singular.length} singular values of this part are ${number(greatest)}: it keeps the length of every vector, times this factor.`, []);
  const from = Math.min(least, law?.ends[0] ?? least),
    to = Math.max(greatest, law?.ends[1] ?? greatest);
  const width = (to - from) / BARS,
    heights = new Array<number>(BARS).fill(0);
  for (const value of singular)
    heights[Math.min(Math.floor((value - from) / width), BARS - 1)]! += 1 / (singular.length * width);
  const top = Math.max(...heights, ...(law ? law.curve.map(([, y]) => Math.min(y, 2 * Math.max(...heights))) : []));
  const frame = new Frame({ from, to, label: "singular value" }, { from: 0, to: top * 1.05, label: "density" });
  const zero = frame.atY(0).toFixed(1);
  const bars = heights.map((height, n) => {
    const [a, b] = [frame.atX(from + n * width), frame.atX(from + (n + 1) * width)];
    return `M${a.toFixed(1)} ${zero}V${frame.atY(height).toFixed(1)}H${b.toFixed(1)}V${zero}Z`;
  });
  return figure(
    title,
    `How much the ${size.join(" × ")} part of the matrix stretches vectors of its singular directions. ` +
      (law
        ? "The line is what a large matrix of independent elements has (Marchenko and Pastur). In so small a part, bars above and below the line are chance; values far beyond its ends would mean a pattern. "
        : "There is no line: it holds for independent elements with a mean of 0, and these are not. A part of an orthogonal matrix is not orthogonal. ") +
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
