/** The editor of the recipe: a text field, with marks at its faults and completion. */

import type { Fault } from "../../src/errors.js";
import { Completion } from "./completion.js";
import { el, replace } from "./dom.js";
import { type Span, locate, spanOf } from "./locate.js";

/** Characters up to which faults are marked in the text. */
const MOST_MARKED = 200_000;

export class Editor {
  readonly element: HTMLElement;
  private readonly field = el("textarea", {
    id: "text",
    rows: 16,
    wrap: "off",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "aria-label": "Recipe, a JSON object. Control and space completes names.",
    "aria-describedby": "faults",
  });
  private readonly mirror = el("pre", { "aria-hidden": "true" });
  private readonly faults = el("div", { id: "faults", role: "status" });
  private marks: readonly Span[] = [];

  constructor(private readonly changed: (text: string) => void) {
    const completion = new Completion(this.field, (caret) => this.placeOf(caret));
    this.element = el("div", {}, el("div", { class: "editor" }, this.mirror, this.field, completion.element), this.faults);
    this.field.addEventListener("input", () => {
      this.marks = [];
      this.paint();
      this.changed(this.text);
    });
    this.field.addEventListener("scroll", () => this.scroll());
  }

  get text(): string {
    return this.field.value;
  }
  set text(text: string) {
    if (text === this.field.value) return;
    this.field.value = text;
    this.marks = [];
    this.paint();
  }

  /** Show faults at their fields and as a list. Without faults, the list has `message`. */
  show(faults: readonly Fault[], message: string): void {
    const { text } = this;
    const located = locate(text),
      spans = faults.map((each) => spanOf(text, located, each.pointer, each.detail));
    this.marks = spans;
    this.paint();
    this.field.setAttribute("aria-invalid", String(faults.length > 0));
    if (!faults.length) {
      replace(this.faults, el("p", { class: "fine" }, message));
      return;
    }
    const items = faults.slice(0, 20).map((each, n) =>
      el(
        "li",
        {},
        el("button", { type: "button", class: "fault", onclick: () => this.select(spans[n]!) }, each.pointer || "(recipe)"),
        ` ${each.detail}`,
      ),
    );
    const more = faults.length > 20 && el("p", {}, `and ${faults.length - 20} more`);
    replace(this.faults, el("p", { class: "wrong" }, message), el("ul", {}, ...items), more);
  }

  private select([start, end]: Span): void {
    this.field.focus();
    this.field.setSelectionRange(start, end);
    const line = this.text.slice(0, start).split("\n").length;
    const height = parseFloat(getComputedStyle(this.field).lineHeight) || 18;
    this.field.scrollTop = Math.max((line - 4) * height, 0);
  }

  /** Draw the marks behind the text: a copy of it, of which only the marks are seen. */
  private paint(): void {
    const { text } = this;
    if (!this.marks.length || text.length > MOST_MARKED) {
      replace(this.mirror);
      return;
    }
    const parts: Node[] = [];
    let at = 0;
    for (const [start, end] of [...this.marks].sort((a, b) => a[0] - b[0])) {
      if (start < at) continue;
      parts.push(document.createTextNode(text.slice(at, start)), el("mark", {}, text.slice(start, end) || " "));
      at = end;
    }
    parts.push(document.createTextNode(`${text.slice(at)}\n`));
    replace(this.mirror, ...parts);
    this.scroll();
  }

  private scroll(): void {
    this.mirror.scrollTop = this.field.scrollTop;
    this.mirror.scrollLeft = this.field.scrollLeft;
  }

  /** Return the place of a character in the editor, in pixels. */
  private placeOf(caret: number): readonly [number, number] {
    const before = this.text.slice(0, caret).split("\n"),
      style = getComputedStyle(this.field);
    const height = parseFloat(style.lineHeight) || 18,
      width = parseFloat(style.fontSize) * 0.6;
    const column = before.at(-1)!.length;
    return [
      Math.min(Math.max(column * width - this.field.scrollLeft, 0), this.field.clientWidth - 200),
      before.length * height - this.field.scrollTop + 10,
    ];
  }
}
