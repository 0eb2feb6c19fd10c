/** The effects of the storage type on the elements. */

import type { LookAnswer, Rounding } from "../protocol.js";
import { el, svg } from "../ui/dom.js";
import { count, number, percent } from "../ui/words.js";
import { Frame, figure } from "./frame.js";

/** Points from which on the steps can be seen. */
const LEAST = 12;

export function roundingFigure({ rounding, dtype, sampled, scheme, measured }: LookAnswer): HTMLElement {
  const title = "Rounding to the storage type";
  if (!rounding) {
    const reason =
      dtype === "F64"
        ? "F64 is the type in which elements are computed, so nothing is rounded to it."
        : measured && measured.low === measured.high
          ? "Every element is the same number. The table above has it before and after rounding."
          : `Elements of ${scheme} are computed together at ${dtype}, so that there are no unrounded ones to compare with.`;
    return figure(title, reason, []);
  }
  return figure(
    title,
    `Each element is drawn in ${rounding.from} and stored as the nearest number of ${dtype}. ` +
      (rounding.points.length >= LEAST
        ? `The plot shows a range near one standard deviation: each step is one number that ${dtype} has, and all elements along it become that number.`
        : `The numbers of ${dtype} are so dense that steps between them cannot be seen.`),
    [],
    rounding.points.length >= LEAST && steps(rounding, dtype),
    table(rounding, dtype, sampled),
  );
}

function steps({ points, range: [from, to], from: finer }: Rounding, dtype: string): SVGSVGElement {
  const frame = new Frame({ from, to, label: `drawn in ${finer}` }, { from, to, label: `stored in ${dtype}` });
  const marks = points.map(([x, y]) => `M${frame.atX(x).toFixed(1)} ${frame.atY(y).toFixed(1)}h.01`).join("");
  const levels = new Set(points.map(([, y]) => y)).size;
  return frame.drawn(
    `${points.length} elements between ${number(from)} and ${number(to)} are stored as ${levels} different numbers.`,
    frame.line([[from, from], [to, to]], "grid"), // prettier-ignore
    svg("path", { class: "dots", d: marks }),
  );
}

function table(found: Rounding, dtype: string, sampled: number): HTMLElement {
  const rows: [string, string, string][] = [
    ["distinct", "distinct values", `${count(found.distinct)} among ${count(sampled)} elements; ${count(found.possible)} numbers of ${dtype} lie in their range`],
    ["entropy", "bits used", `${number(found.entropy, 4)} of ${found.bits}: entropy of the stored values${found.entropy > Math.log2(sampled) - 0.5 ? `, as much as ${count(sampled)} elements can show` : ""}`],
    ["clamped", "clamped", found.clamped === null ? "none: the distribution has no bounds" : `${count(found.clamped)} (${percent(found.clamped / sampled)}): elements that rounding would have put beyond a bound have the bound instead`],
    ["zeros", "rounded to 0", `${count(found.zeros)} (${percent(found.zeros / sampled)})`],
    ["error", "error", `${percent(found.error)} of the standard deviation, root of the mean square`],
  ];
  return el(
    "dl",
    { class: "facts" },
    ...rows.flatMap(([id, name, text]) => [el("dt", {}, name), el("dd", { "data-rounding": id }, text)]),
  );
}
