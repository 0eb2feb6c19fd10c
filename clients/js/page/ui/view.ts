/** One tensor: facts and plots. Two views stand beside each other for a comparison. */

import { ask, EngineError, Latest } from "./engine.js";
import type { Subject } from "../protocol.js";
import { histogramFigure } from "../plots/histogram.js";
import { el, replace } from "./dom.js";
import { facts, moments } from "./facts.js";

export class View {
  readonly element: HTMLElement;
  private readonly heading = el("h3", {});
  private readonly message = el("p", { class: "wrong", role: "alert" });
  private readonly facts = el("div", {});
  private readonly plots = el("div", { class: "plots" });
  private readonly latest = new Latest();

  constructor() {
    this.element = el("div", { class: "view" }, this.heading, this.message, this.facts, this.plots);
  }

  /** Show a tensor. While one is computed, only the newest call waits. */
  show(subject: Subject, heading: string): void {
    this.heading.textContent = heading;
    this.latest.run(async () => {
      try {
        const look = await ask("look", { subject });
        this.message.textContent = "";
        replace(this.facts, facts(look), moments(look));
        replace(this.plots, histogramFigure(look));
        document.documentElement.dataset.drawn = String(Math.round(performance.now()));
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        const faults = error.faults.map((each) => `${each.pointer.split("/").slice(3).join("/")}: ${each.detail}`);
        this.message.textContent = faults.join("; ") || error.message;
        replace(this.facts);
        replace(this.plots);
      }
    });
  }
}
