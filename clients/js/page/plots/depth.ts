/** The mean squares of signal and gradient by layer. */

import { ACTIVATIONS } from "../activations.js";
import type { DepthAnswer } from "../protocol.js";
import { type Child, el, svg } from "../ui/dom.js";
import { number, things } from "../ui/words.js";
import { Frame, figure } from "./frame.js";

const LEAST = 1e-30,
  MOST = 1e30;

/** The controls of this plot, which all tensors share. */
export class DepthControls {
  /** The controls, which stand below the first of these plots. */
  readonly element: HTMLElement;
  private readonly chosen = el(
    "select",
    { id: "activation" },
    ...Object.entries(ACTIVATIONS).map(([name, { title }]) => el("option", { value: name }, title)),
  );
  private readonly number = el("input", { id: "layers", type: "number", min: 2, max: 64, value: 24 });

  constructor(changed: () => void) {
    this.element = el("div", { class: "controls" }, el("label", {}, "Activation between layers ", this.chosen), el("label", {}, "number of layers, 2 to 64 ", this.number));
    this.chosen.addEventListener("change", changed);
    this.number.addEventListener("change", () => {
      this.number.value = String(this.layers);
      changed();
    });
  }
  get activation(): string {
    return this.chosen.value;
  }
  get layers(): number {
    return Math.min(Math.max(Math.floor(Number(this.number.value)) || 2, 2), 64);
  }
}

/** Return the plot. Those of `others`, which stand beside it, have the same axes. */
export function depthFigure(depth: DepthAnswer, others: readonly DepthAnswer[], activation: string): HTMLElement {
  const title = "Signal and gradient by depth";
  if (depth.refusal !== null) return figure(title, depth.refusal, []);
  const all = [depth, ...others].flatMap((each) => [each.signal, each.gradient, each.simulatedSignal, each.simulatedGradient].flat());
  const finite = all.filter((each) => each > LEAST && each < MOST);
  const low = Math.min(...finite, 1),
    high = Math.max(...finite, 1);
  // The axis has at least four powers of ten, so that a steady line looks steady.
  const from = 10 ** Math.min(Math.floor(Math.log10(low)), -2),
    to = 10 ** Math.max(Math.ceil(Math.log10(high)), 2);
  const layers = depth.signal.length;
  const frame = new Frame({ from: 1, to: layers, label: "layer" }, { from, to, label: "mean square, logarithmic", isLog: true });
  const numbered = (values: readonly number[]) =>
    values.flatMap((y, n): [number, number][] =>
      // A line ends where it leaves the axis: drawn along the border, it would look level.
      y >= from && y <= to ? [[n + 1, y]] : [],
    );
  const dots = (values: readonly number[], className: string): Child =>
    svg("path", { class: className, d: numbered(values).map(([x, y]) => `M${frame.atX(x).toFixed(1)} ${frame.atY(y).toFixed(1)}h.01`).join("") });
  const hidden = all.filter((each) => each < from || each > to).length;
  const change = depth.signal.at(-1)! / depth.signal[0]!;
  const facts = `From layer 1 to ${layers} the mean square of the signal is multiplied by ${number(change, 3)}, and from layer ${layers} to 1 that of the gradient by ${number(depth.gradient[0]!, 3)}.`;
  return figure(
    title,
    `If ${layers} layers had weights of this scale and ${ACTIVATIONS[activation]!.title} between them, without bias, normalization and residual connections, which would steady it. ` +
      "Your network need not be built so: the plot judges the scale alone, and a head or an embedding is one layer. " +
      "Read the signal from left to right and the gradient from right to left. A line that falls on its way vanishes, one that rises explodes. A good scale keeps both level. An activation that saturates, such as tanh, settles the signal whatever the scale, so look at the gradient. " +
      (Math.abs(depth.ratio - 1) > 0.005 ? `Fan-out is ${number(depth.ratio, 3)} times fan-in here: fan-in scales the signal and fan-out the gradient, so that no scale keeps both level. ` : "") +
      `Lines: the limit of wide layers. Dots: one network of ${depth.width} units with the same scales, simulated with the seed. By the lines: ${facts}` +
      (hidden ? ` ${things(hidden, "value")} beyond the axis ${hidden === 1 ? "is" : "are"} not shown.` : ""),
    [
      ["line", "signal, mean square before the activation"],
      ["law", "gradient, mean square"],
      ["dot", "dots of either colour: one simulated network"],
    ],
    frame.drawn(facts, frame.line(numbered(depth.signal), "line"), frame.line(numbered(depth.gradient), "law"), dots(depth.simulatedSignal, "dots"), dots(depth.simulatedGradient, "dots second")),
  );
}
