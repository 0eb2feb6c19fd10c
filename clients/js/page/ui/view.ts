/** One tensor: facts and plots. Two views stand beside each other for a comparison. */

import { type DepthControls, depthFigure } from "../plots/depth.js";
import { heatFigure } from "../plots/heat.js";
import { histogramFigure } from "../plots/histogram.js";
import { roundingFigure } from "../plots/rounding.js";
import { spectrumFigure } from "../plots/spectrum.js";
import type { BlockAnswer, DepthAnswer, LookAnswer, Range, Subject } from "../protocol.js";
import { el, replace } from "./dom.js";
import { EngineError, Latest, ask } from "./engine.js";
import { facts, moments } from "./facts.js";

/** The results that the plots show. */
interface Found {
  readonly look?: LookAnswer;
  readonly block?: BlockAnswer;
  readonly depth?: DepthAnswer;
}
const PLOTTED = ["look", "block", "depth"] as const;

export class View {
  readonly element: HTMLElement;
  private readonly heading = el("h3", {});
  private readonly message = el("p", { class: "wrong", role: "alert" });
  private readonly facts = el("div", {});
  private readonly histogram = el("div", { "data-plot": "histogram" });
  private readonly rounding = el("div", { "data-plot": "rounding" });
  private readonly heat = el("div", { "data-plot": "heat" });
  private readonly spectrum = el("div", { "data-plot": "spectrum" });
  private readonly depth = el("div", { "data-plot": "depth" });
  private readonly plots = [this.histogram, this.rounding, this.heat, this.spectrum, this.depth];
  private readonly latest = new Latest();
  private readonly below = new Latest();
  private subject: Subject | null = null;
  private first: readonly [number, number] = [0, 0];
  private found: Found = {};
  /** The view beside this one. While both show a tensor, their plots have the same axes. */
  private beside: View | null = null;

  /** `footer` stands under the plot by depth, and appears with it. */
  constructor(
    private readonly controls: DepthControls,
    private readonly footer: HTMLElement | null = null,
  ) {
    if (footer) footer.hidden = true;
    const deep = el("div", {}, this.depth, footer);
    const plots = [this.histogram, this.rounding, this.heat, this.spectrum, deep];
    this.element = el("div", { class: "view" }, this.heading, this.message, this.facts, el("div", { class: "plots" }, ...plots));
  }

  /** Let two views stand beside each other. */
  static pair(first: View, second: View): void {
    [first.beside, second.beside] = [second, first];
  }

  /** Show a tensor. While one is computed, only the newest call waits. */
  show(subject: Subject, heading: string, range: Range | null): void {
    if (this.subject?.name !== subject.name) this.first = [0, 0];
    this.subject = subject;
    this.heading.textContent = heading;
    this.latest.run(() =>
      this.guarded(async () => {
        const look = await ask("look", { subject, range });
        this.message.textContent = "";
        replace(this.facts, facts(look), moments(look));
        replace(this.rounding, roundingFigure(look));
        this.take({ look });
        document.documentElement.dataset.drawn ??= String(Math.round(performance.now()));
        await this.block();
        await this.deep();
        this.element.dataset.shown = JSON.stringify(subject);
      }),
    );
  }

  /** Show nothing, and leave the axes to the view beside this one. */
  clear(): void {
    this.subject = null;
    this.found = {};
    for (const plot of [this.facts, ...this.plots]) replace(plot);
    this.element.dataset.shown = "";
    for (const name of PLOTTED) this.beside?.paint(name);
  }

  /** Show the plot by depth again, after a change of its controls. */
  redeepen(): void {
    if (this.subject) this.below.run(() => this.guarded(() => this.deep()));
  }

  private async block(): Promise<void> {
    const [row, column] = this.first;
    this.take({ block: await ask("block", { subject: this.subject!, row, column }) });
  }

  private async deep(): Promise<void> {
    const { activation, layers } = this.controls;
    this.take({ depth: await ask("depth", { subject: this.subject!, activation, layers }) });
  }

  private take(found: Found): void {
    if (!this.subject) return; // cleared while it was computed
    this.found = { ...this.found, ...found };
    for (const name of PLOTTED) {
      if (!(name in found)) continue;
      this.paint(name);
      this.beside?.paint(name);
    }
  }

  /** Draw what is found, with the axes of both views. */
  private paint(name: keyof Found): void {
    const { look, block, depth } = this.found,
      others = this.beside?.found ?? {};
    const list = <T>(found: T | undefined): T[] => (found ? [found] : []);
    if (name === "look" && look) replace(this.histogram, histogramFigure(look, list(others.look)));
    if (name === "depth" && depth) {
      replace(this.depth, depthFigure(depth, list(others.depth), this.controls.activation));
      if (this.footer) this.footer.hidden = [depth, ...list(others.depth)].every(({ refusal }) => refusal !== null);
    }
    if (name === "block" && block) {
      const isFocused = this.heat.contains(document.activeElement) && (document.activeElement as HTMLElement).dataset.first;
      replace(
        this.heat,
        heatFigure(block, list(others.block), (...first) => {
          this.first = first;
          this.below.run(() => this.guarded(() => this.block()));
        }),
      );
      if (isFocused) this.heat.querySelector<HTMLElement>(`[data-first="${isFocused}"]`)?.focus();
      replace(this.spectrum, spectrumFigure(block, list(others.block)));
    }
  }

  private async guarded(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const faults = error.faults.map((each) => `${each.pointer.split("/").slice(3).join("/")}: ${each.detail}`);
      this.message.textContent = faults.join("; ") || error.message;
      const { subject } = this;
      this.clear();
      this.subject = subject;
    }
  }
}
