/** The facts of a tensor, and its exact moments beside those of the sample. */

import vocabulary from "../vocabulary.json";
import type { LookAnswer } from "../protocol.js";
import { el } from "./dom.js";
import { count, number, shape } from "./words.js";

const schemes = vocabulary.schemes as unknown as Record<string, { summary: string; formula: string; source: string }>;

export function facts(look: LookAnswer): HTMLElement {
  const known = schemes[look.scheme];
  const rows: [string, string][] = [
    ["shape", `${shape(look.shape)}, ${count(look.elements)} elements of ${look.dtype}`],
    ["scheme", `${look.scheme}${known ? `: ${known.summary}` : ""}`],
    ...(known ? [["formula", known.formula] as [string, string]] : []),
    ["distribution", look.formula],
    ...(look.fans ? [["fans", `fan_in ${count(look.fans[0])}, fan_out ${count(look.fans[1])}`] as [string, string]] : []),
    ...(known ? [["source", known.source] as [string, string]] : []),
  ];
  return el(
    "dl",
    { class: "facts" },
    ...rows.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]),
  );
}

/** Return the table of moments. The exact ones have the digits of `fanin.describe`. */
export function moments({ exact, measured, sampled, elements }: LookAnswer): HTMLElement {
  const cell = (value: number | null | undefined, digits: number) =>
    value === undefined ? "not known" : value === null ? "none" : number(value, digits);
  const row = (name: string, key: "mean" | "std" | "low" | "high") =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", { "data-exact": key }, cell(exact?.[key], 9)),
      el("td", { "data-measured": key }, cell(measured?.[key], 6)),
    );
  const all = String(sampled) === elements;
  return el(
    "div",
    {},
    el(
      "table",
      { class: "moments" },
      el("thead", {}, el("tr", {}, el("td"), el("th", { scope: "col" }, "by the formula"), el("th", { scope: "col" }, "measured"))),
      el("tbody", {}, row("mean", "mean"), row("standard deviation", "std"), row("lower bound; least element", "low"), row("upper bound; greatest element", "high")),
    ),
    el(
      "p",
      { class: "fine" },
      all
        ? `Measured on all ${count(elements)} elements.`
        : `Measured on ${count(sampled)} of ${count(elements)} elements, taken from 64 places in the tensor. The least and the greatest are those of the sample.`,
    ),
  );
}
