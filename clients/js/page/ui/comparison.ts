/** A second scheme beside the one of the recipe. */

import vocabulary from "../vocabulary.json";
import type { DepthControls } from "../plots/depth.js";
import type { LookAnswer, Range } from "../protocol.js";
import { el } from "./dom.js";
import { ask } from "./engine.js";
import { View } from "./view.js";

const schemes = vocabulary.schemes as unknown as Record<string, { parameters: Record<string, { default?: unknown }> }>;

export class Comparison {
  readonly controls: HTMLElement;
  readonly view: View;
  private readonly scheme = el("select", { id: "compared" }, el("option", { value: "" }, "nothing"), ...Object.keys(schemes).map((name) => el("option", {}, name)));
  private readonly members = el("input", { id: "compared-members", spellcheck: "false", autocomplete: "off", "aria-describedby": "compared-help" });
  private readonly second = el(
    "div",
    { class: "stack", hidden: true },
    el("label", {}, "Second tensor, a JSON object ", this.members),
    el("p", { class: "fine", id: "compared-help" }, "Its shape, seed and layout are those of the first one, and so is its dtype, unless the object has another. Change a number and press Enter."),
  );
  private name = "";

  constructor(
    depth: DepthControls,
    private readonly changed: () => void,
  ) {
    this.view = new View(depth);
    this.view.element.hidden = true;
    this.controls = el("div", { class: "stack" }, el("label", {}, "Compare with the scheme ", this.scheme), this.second);
    this.scheme.addEventListener("change", () => void this.choose());
    this.members.addEventListener("change", changed);
  }

  /** Return the axis of values that both share; null where the first one is alone. */
  async range(name: string): Promise<Range | null> {
    this.name = name;
    if (!this.scheme.value) return null;
    const subjects = [{ name }, { name, members: this.members.value }];
    const ranges = await Promise.all(subjects.map((subject) => ask("range", { subject }).catch(() => null)));
    const [first, second] = ranges as [Range | null, Range | null];
    return first && second ? [Math.min(first[0], second[0]), Math.max(first[1], second[1])] : null;
  }

  /** Show the second scheme of a tensor, if one is chosen. */
  show(name: string, range: Range | null): void {
    const isOn = this.scheme.value !== "";
    this.second.hidden = this.view.element.hidden = !isOn;
    this.view.element.parentElement?.classList.toggle("two", isOn);
    if (!isOn) this.view.clear();
    else this.view.show({ name, members: this.members.value }, `${name} as ${this.scheme.value}`, range);
  }

  private async choose(): Promise<void> {
    if (this.scheme.value) {
      const look = await ask("look", { subject: { name: this.name }, range: null }).catch(() => null);
      this.members.value = JSON.stringify({ scheme: this.scheme.value, ...required(this.scheme.value, look) });
    }
    this.changed();
  }
}

/** Return values for the parameters that a scheme requires: those of the same standard deviation where they are known. */
function required(scheme: string, look: LookAnswer | null): Record<string, unknown> {
  const std = Number((look?.drawn?.std || 0.02).toPrecision(6)),
    half = Number((std * Math.sqrt(3)).toPrecision(6));
  const usual: Record<string, unknown> = { std, low: -half, high: half, value: std, sparsity: 0.9, layers: 12, width: 1024, fan: Number(look && "fanIn" in look.fans ? look.fans.fanIn : 1024), encoder_layers: 12, side: "only" };
  const found: Record<string, unknown> = {};
  for (const [name, { default: value }] of Object.entries(schemes[scheme]!.parameters)) {
    if (value === undefined) found[name] = usual[name] ?? 1;
  }
  if (["deepnorm", "subln"].includes(scheme)) found.encoder_layers = 12;
  return found;
}
