/** The seed: a field for any of them, and a slider for small ones. */

import { el } from "./dom.js";

const SLIDER = 1000;
const SEED = /^(?:0|[1-9][0-9]{0,19})$/;

export class SeedControl {
  readonly element: HTMLElement;
  private readonly field = el("input", { id: "seed", inputmode: "numeric", autocomplete: "off", size: 20, value: "0", "aria-describedby": "seed-fault" });
  private readonly slider = el("input", { id: "seed-slider", type: "range", min: 0, max: SLIDER, value: 0, "aria-label": "Seed from 0 to 1000" });
  private readonly fault = el("span", { id: "seed-fault", class: "wrong", role: "status" });

  constructor(changed: (seed: string) => void) {
    this.element = el(
      "div",
      {},
      el("div", { class: "seed" }, el("label", {}, "Seed ", this.field), this.slider, this.fault),
      el("p", { class: "fine" }, "The seed of the recipe. Another one gives other random numbers of the same distributions. The slider has the seeds from 0 to 1000."),
    );
    this.slider.addEventListener("input", () => {
      this.field.value = this.slider.value;
      this.check();
      changed(this.slider.value);
    });
    this.field.addEventListener("input", () => {
      if (this.check()) changed(this.field.value);
    });
  }

  set value(seed: string) {
    if (document.activeElement !== this.field) this.field.value = seed;
    this.slider.value = seed.length > 4 ? String(SLIDER) : seed;
    this.check();
  }

  private check(): boolean {
    const text = this.field.value,
      isValid = SEED.test(text) && BigInt(text) < 2n ** 64n;
    this.field.setAttribute("aria-invalid", String(!isValid));
    this.fault.textContent = isValid ? "" : "The seed must be an integer from 0 to 2^64 - 1.";
    return isValid;
  }
}
