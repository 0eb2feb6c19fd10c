/** The tensors of a recipe as a table. Only the rows in view are elements of the page, so it may have any number of them. */

import type { RecipeAnswer } from "../protocol.js";
import { el, replace } from "./dom.js";
import { bytes, count, shape, things } from "./words.js";

/** Height of a row in pixels, as in page.css. */
const ROW = 30;
const BEYOND = 6;

export class Table {
  readonly element: HTMLElement;
  private readonly filter = el("input", { id: "filter", type: "search", placeholder: "part of a name, dtype or scheme", autocomplete: "off" });
  private readonly shown = el("p", { class: "fine", role: "status", id: "shown" });
  private readonly head = el(
    "div",
    { role: "row", class: "row head", "aria-rowindex": 1 },
    ...["name", "shape", "dtype", "scheme", "size"].map((text) => el("span", { role: "columnheader" }, text)),
  );
  private readonly body = el("div", { role: "rowgroup", class: "rows" });
  private readonly grid = el("div", { role: "grid", id: "grid", class: "grid-table", tabindex: 0, "aria-label": "Tensors" });
  private answer: RecipeAnswer | null = null;
  private places: number[] = [];
  private chosen = "";

  constructor(private readonly choose: (name: string) => void) {
    this.grid.append(el("div", { role: "rowgroup" }, this.head), this.body);
    this.element = el("div", {}, el("label", {}, "Filter ", this.filter), this.grid, this.shown);
    this.filter.addEventListener("input", () => this.refilter());
    this.grid.addEventListener("scroll", () => this.paint());
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-place]");
      if (row) this.take(Number(row.dataset.place));
    });
    new ResizeObserver(() => this.paint()).observe(this.grid);
  }

  /** Show the tensors of a recipe, with one of them chosen. */
  show(answer: RecipeAnswer, chosen: string): void {
    this.answer = answer;
    this.chosen = chosen;
    this.refilter();
    this.reveal();
  }

  private refilter(): void {
    const { names, kinds, kindOf } = this.answer!,
      wanted = this.filter.value.trim().toLowerCase();
    const hits = kinds.map((kind) => `${kind.dtype} ${kind.scheme}`.toLowerCase().includes(wanted));
    this.places = [];
    for (let n = 0; n < names.length; n++)
      if (!wanted || hits[kindOf[n]!] || names[n]!.toLowerCase().includes(wanted)) this.places.push(n);
    this.grid.setAttribute("aria-rowcount", String(this.places.length + 1));
    this.body.style.height = `${this.places.length * ROW}px`;
    this.shown.textContent =
      this.places.length === names.length
        ? things(names.length, "tensor")
        : `${count(this.places.length)} of ${count(names.length)} tensors`;
    this.paint();
  }

  private paint(): void {
    if (!this.answer) return;
    const { names, kinds, kindOf } = this.answer,
      top = this.grid.scrollTop;
    const first = Math.max(Math.floor(top / ROW) - BEYOND, 0),
      last = Math.min(Math.ceil((top + this.grid.clientHeight) / ROW) + BEYOND, this.places.length);
    const rows: HTMLElement[] = [];
    let active: string | null = null;
    for (let place = first; place < last; place++) {
      const n = this.places[place]!,
        name = names[n]!,
        kind = kinds[kindOf[n]!]!;
      const isChosen = name === this.chosen;
      const id = `row-${place}`;
      if (isChosen) active = id;
      const row = el(
        "div",
        { role: "row", class: "row", id, "data-place": place, "aria-rowindex": place + 2, "aria-selected": String(isChosen) },
        ...[name, shape(kind.shape), kind.dtype, kind.scheme, bytes(kind.bytes)].map((text) =>
          el("span", { role: "gridcell", title: text }, text),
        ),
      );
      row.style.transform = `translateY(${place * ROW}px)`;
      rows.push(row);
    }
    replace(this.body, ...rows);
    if (active) this.grid.setAttribute("aria-activedescendant", active);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  private place(): number {
    return this.places.findIndex((n) => this.answer!.names[n] === this.chosen);
  }

  private key(event: KeyboardEvent): void {
    const page = Math.max(Math.floor(this.grid.clientHeight / ROW) - 2, 1),
      end = this.places.length - 1;
    const at = this.place();
    const moves: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: end };
    const next = moves[event.key];
    if (next === undefined || end < 0) return;
    event.preventDefault();
    this.take(Math.min(Math.max(next, 0), end));
    this.reveal();
  }

  private take(place: number): void {
    const name = this.answer!.names[this.places[place]!]!;
    this.chosen = name;
    this.paint();
    this.choose(name);
  }

  /** Scroll so that the chosen row is in view. */
  private reveal(): void {
    const place = this.place();
    if (place >= 0) {
      const top = place * ROW,
        view = this.grid.clientHeight - 2 * ROW;
      if (top < this.grid.scrollTop) this.grid.scrollTop = top;
      else if (top > this.grid.scrollTop + view) this.grid.scrollTop = top - view;
    }
    this.paint();
  }
}
