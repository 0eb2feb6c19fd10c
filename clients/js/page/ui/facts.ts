/** The facts of a tensor, and its moments by formula beside those of the sample. */

import vocabulary from "../vocabulary.json";
import type { Expected, FansAnswer, LookAnswer } from "../protocol.js";
import { type Child, el } from "./dom.js";
import { count, number, shape } from "./words.js";

const schemes = vocabulary.schemes as unknown as Record<string, { summary: string; formula: string; source: string }>;

export function facts(look: LookAnswer): HTMLElement {
  const known = schemes[look.scheme];
  const rows: [string, readonly Child[]][] = [
    ["shape", [`${shape(look.shape)}, ${count(look.elements)} elements stored as ${look.dtype}`]],
    ["scheme", known ? [el("code", {}, look.scheme), ": ", ...marked(known.summary)] : [look.scheme]],
    ...(known ? ([["formula", [known.formula]]] as [string, Child[]][]) : []),
    ["distribution", [look.formula + boundsNote(look)]],
    ["fans", [fans(look.fans, look.scheme)]],
    // A scheme without a publication has its formula as its source.
    ...(known && known.source !== "definition" ? ([["published in", [known.source]]] as [string, Child[]][]) : []),
  ];
  return el(
    "dl",
    { class: "facts" },
    ...rows.flatMap(([name, content]) => [el("dt", {}, name), el("dd", {}, ...content)]),
  );
}

/** Return a text with its parts between backticks as code. */
const marked = (text: string): Child[] => text.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part));

function boundsNote({ drawn, stored, dtype }: LookAnswer): string {
  const isRounded = (["low", "high"] as const).some((key) => drawn?.[key] !== undefined && drawn[key] !== stored?.[key]);
  return isRounded ? `, bounds as ${dtype} stores them` : "";
}

function fans(found: FansAnswer, scheme: string): string {
  if ("reason" in found) return `none: ${found.reason}`;
  const { fanIn, fanOut, layout, isAssumed, isUsed, selected } = found;
  const axes = layout ? ` in the layout ${layout}${isAssumed ? ", which a recipe has that states none" : ""}` : "";
  const use = !isUsed ? `; ${scheme} does not use them` : selected ? `; n is ${number(selected.n, 9)}, by the mode ${selected.mode}` : "";
  return `fan-in ${count(fanIn)} (inputs of each output), fan-out ${count(fanOut)} (outputs of each input)${axes}${use}`;
}

/** Return the table of moments. Those by formula have the digits of `fanin.describe`. */
export function moments({ drawn, stored, measured, chance, sampled, elements, dtype }: LookAnswer): HTMLElement {
  const cell = (value: number | null | undefined, digits: number) =>
    value === undefined ? "not computed" : value === null ? "no bound" : number(value, digits);
  const row = (name: string, key: keyof Expected) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", { "data-drawn": key }, cell(drawn?.[key], 9)),
      el("td", { "data-stored": key }, cell(stored?.[key], 9)),
      el("td", { "data-measured": key }, cell(measured?.[key], 6)),
    );
  const head = (...lines: string[]) => el("th", { scope: "col" }, ...lines.flatMap((line, n) => (n ? [el("br"), line] : [line])));
  const all = String(sampled) === elements;
  return el(
    "div",
    { class: "wide", tabindex: 0, role: "group", "aria-label": "Mean, deviation and bounds" },
    el(
      "table",
      { class: "moments" },
      el("caption", {}, "What the formula says of an element, and what the elements are"),
      el(
        "thead",
        {},
        el("tr", {}, el("td"), head("formula,", "before rounding"), head("formula,", `stored as ${dtype}`), head("measured,", `stored as ${dtype}`)),
      ),
      el("tbody", {}, row("mean", "mean"), row("standard deviation", "std"), row("least value", "low"), row("greatest value", "high")),
    ),
    el(
      "p",
      { class: "fine" },
      all
        ? `Measured on all ${count(elements)} elements.`
        : `Measured on ${count(sampled)} of ${count(elements)} elements, taken from 64 places in the tensor. The least and the greatest are those of the sample.`,
      chance && ` By chance alone the mean is off by about ${number(chance.mean, 2)} and the standard deviation by about ${number(chance.std, 2)} (one standard error; twice as much is common).`,
    ),
  );
}
