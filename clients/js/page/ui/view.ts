/** One tensor: facts and plots. Two views stand beside each other for a comparison. */

import { type DepthControls, depthFigure } from "../plots/depth.js";
import { heatFigure } from "../plots/heat.js";
import { histogramFigure } from "../plots/histogram.js";
import { roundingFigure } from "../plots/rounding.js";
import { spectrumFigure } from "../plots/spectrum.js";
import type { Range, Subject } from "../protocol.js";
import { el, replace } from "./dom.js";
import { EngineError, Latest, ask } from "./engine.js";
import { facts, moments } from "./facts.js";

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

  constructor(private readonly controls: DepthControls) {
    this.element = el("div", { class: "view" }, this.heading, this.message, this.facts, el("div", { class: "plots" }, ...this.plots));
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
        replace(this.histogram, histogramFigure(look));
        replace(this.rounding, roundingFigure(look));
        document.documentElement.dataset.drawn ??= String(Math.round(performance.now()));
        await this.block();
        await this.deep();
        this.element.dataset.shown = JSON.stringify(subject);
      }),
    );
  }

  /** Show the plot by depth again, after a change of its controls. */
  redeepen(): void {
    if (this.subject) this.below.run(() => this.guarded(() => this.deep()));
  }

  private async block(): Promise<void> {
    const [row, column] = this.first;
    const found = await ask("block", { subject: this.subject!, row, column });
    const isFocused = this.heat.contains(document.activeElement) && (document.activeElement as HTMLElement).dataset.first;
    replace(
      this.heat,
      heatFigure(found, (...first) => {
        this.first = first;
        this.below.run(() => this.guarded(() => this.block()));
      }),
    );
    if (isFocused) this.heat.querySelector<HTMLElement>(`[data-first="${isFocused}"]`)?.focus();
    replace(this.spectrum, spectrumFigure(found));
  }

  private async deep(): Promise<void> {
    const { activation, layers } = this.controls;
    replace(this.depth, depthFigure(await ask("depth", { subject: this.subject!, activation, layers }), activation));
  }

  private async guarded(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      const faults = error.faults.map((each) => `${each.pointer.split("/").slice(3).join("/")}: ${each.detail}`);
      this.message.textContent = faults.join("; ") || error.message;
      for (const plot of [this.facts, ...this.plots]) replace(plot);
      this.element.dataset.shown = "";
    }
  }
}
