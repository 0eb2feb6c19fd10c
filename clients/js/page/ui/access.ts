/** The key for the service, sent as a header. It is stored in the memory of the page only. */

import { el } from "./dom.js";
import { EngineError } from "./engine.js";

export class Access {
  readonly element: HTMLElement;
  private readonly field = el("input", { id: "key", type: "password", autocomplete: "off", size: 28 });
  private readonly message = el("span", { class: "wrong", role: "status", id: "key-message" });

  constructor(readonly hasService: boolean) {
    this.element = el("div", { class: "controls", hidden: !hasService }, el("label", {}, "API key, if the service requires one ", this.field), this.message);
    this.field.addEventListener("input", () => (this.message.textContent = ""));
  }

  get token(): string {
    return this.field.value.trim();
  }

  /** Ask for a key if the service refused a request without a valid one. */
  refused(error: unknown): void {
    if (!(error instanceof EngineError) || (error.status !== 401 && error.status !== 403)) return;
    this.message.textContent = !this.token
      ? "The service requires a key."
      : error.status === 401
        ? "The service does not accept this key."
        : "The service accepts this key, but not for this.";
    this.field.focus();
  }
}
