/** The mean squares of signal and gradient by layer. */

import { ACTIVATIONS } from "../activations.js";
import type { DepthAnswer } from "../protocol.js";
import { type Child, el, svg } from "../ui/dom.js";
import { number } from "../ui/words.js";
import { Frame, figure } from "./frame.js";

const LEAST = 1e-30,
  MOST = 1e30;

/** The controls of this plot, which all tensors share. */
export class DepthControls {
  readonly element: HTMLElement;
  private readonly chosen = el(
    "select",
    { id: "activation" },
    ...Object.entries(ACTIVATIONS).map(([name, { title }]) => el("option", { value: name }, title)),
  );
  private readonly number = el("input", { id: "layers", type: "number", min: 2, max: 64, value: 24 });

  constructor(changed: () => void) {
    this.element = el("div", { class: "controls" }, el("label", {}, "Activation ", this.chosen), el("label", {}, "layers ", this.number));
    this.chosen.addEventListener("change", changed);
    this.number.addEventListener("change", changed);
  }
  get activation(): string {
    return this.chosen.value;
  }
  get layers(): number {
    return Math.min(Math.max(Math.floor(Number(this.number.value)) || 2, 2), 64);
  }
}

export function depthFigure(depth: DepthAnswer, activation: string): HTMLElement {
  const title = "Signal and gradient by depth";
  if (depth.refusal !== null) return figure(title, depth.refusal, []);
  const all = [...depth.signal, ...depth.gradient, ...depth.simulatedSignal, ...depth.simulatedGradient];
  const finite = all.filter((each) => each > LEAST && each < MOST);
  const low = Math.min(...finite, 1),
    high = Math.max(...finite, 1);
  // The axis has at least four powers of ten, so that a steady line looks steady.
  const from = 10 ** Math.min(Math.floor(Math.log10(low)), -2),
    to = 10 ** Math.max(Math.ceil(Math.log10(high)), 2);
  const layers = depth.signal.length;
  const frame = new Frame({ from: 1, to: layers, label: "layer" }, { from, to, label: "mean square", isLog: true });
  const numbered = (values: readonly number[]) =>
    values.flatMap((y, n): [number, number][] =>
      // A network that explodes has no numbers in its last layers.
      Number.isNaN(y) ? [] : [[n + 1, Math.min(Math.max(y, from / 10), to * 10)]],
    );
  const dots = (values: readonly number[], className: string): Child =>
    svg("path", { class: className, d: numbered(values).map(([x, y]) => `M${frame.atX(x).toFixed(1)} ${frame.atY(y).toFixed(1)}h.01`).join("") });
  const [last, first] = [depth.signal.at(-1)!, depth.gradient[0]!];
  const facts = `In ${layers} layers the signal becomes ${number(last, 3)} times its input, and the gradient ${number(first, 3)} times that of the last layer.`;
  return figure(
    title,
    `A network whose layers all have the fans and the distribution of this tensor, with ${ACTIVATIONS[activation]!.title}, without bias and normalization. ` +
      `Lines: the exact recursion for wide layers. Dots: one network of ${depth.width} units, simulated here with the seed. A level line is good: falling ones vanish, rising ones explode. ${facts}`,
    [
      ["line", "signal, mean square before the activation"],
      ["law", "gradient, mean square"],
    ],
    frame.drawn(facts, frame.line(numbered(depth.signal), "line"), frame.line(numbered(depth.gradient), "law"), dots(depth.simulatedSignal, "dots"), dots(depth.simulatedGradient, "dots second")),
  );
}
