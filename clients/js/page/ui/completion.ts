/** Completion of names in the editor: schemes, parameters, storage types and words. */

import vocabulary from "../vocabulary.json";
import { el, replace } from "./dom.js";
import { type Place, locate, parsed } from "./locate.js";

interface Parameter {
  readonly type: string;
  readonly words?: readonly string[];
  readonly default?: unknown;
}
interface Choice {
  readonly text: string;
  readonly help: string;
  /** The text that replaces the string at the caret, and the distance of the caret from its end. */
  readonly inserted: string;
  readonly back: number;
}

const schemes = vocabulary.schemes as unknown as Record<
  string,
  { aliases: string[]; summary: string; parameters: Record<string, Parameter> }
>;
const dialects = vocabulary.dialects as unknown as Record<string, Record<string, Record<string, Parameter>>>;
const RECIPE: Record<string, string> = {
  seed: "an integer from 0 to 2^64 - 1",
  dtype: "storage type of tensors that do not give their own",
  layout: "which axes of a kernel are inputs and outputs: keras or torch",
  dialect: "whose names of initializers the tensors use",
  tensors: "an object of tensors by name",
  repeated: "tensors of names with ranges, such as layers.{0..7}.weight",
};
const SHARED: Record<string, string> = { shape: "sizes of the axes", scheme: "the initializer", dtype: "storage type" };
const SHOWN = 50;

export class Completion {
  readonly element = el("ul", { class: "completion", role: "listbox", id: "completion", "aria-label": "Completions", hidden: true });
  private choices: readonly Choice[] = [];
  private chosen = 0;
  private place: Place | null = null;

  constructor(
    private readonly field: HTMLTextAreaElement,
    private readonly placeOf: (caret: number) => readonly [number, number],
  ) {
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", "completion");
    field.addEventListener("input", () => this.open(false));
    field.addEventListener("keydown", (event) => this.key(event));
    field.addEventListener("blur", () => this.close());
    field.addEventListener("click", () => this.close());
  }

  private open(isAsked: boolean): void {
    const caret = this.field.selectionStart,
      { place } = locate(this.field.value, caret);
    const isString = place !== null && place.token[1] > place.token[0];
    if (!place || (!isString && !isAsked)) {
      this.close();
      return;
    }
    const typed = isString ? parsed(this.field.value.slice(place.token[0], caret)) : "";
    const all = choicesAt(place),
      starts = all.filter((each) => each.text.startsWith(typed));
    const found = [...starts, ...all.filter((each) => !each.text.startsWith(typed) && each.text.includes(typed))];
    if (!found.length || (found.length === 1 && found[0]!.text === typed)) {
      this.close();
      return;
    }
    this.place = place;
    this.choices = found.slice(0, SHOWN);
    const [left, top] = this.placeOf(place.token[0]);
    this.element.style.left = `${left}px`;
    this.element.style.top = `${top}px`;
    this.element.hidden = false;
    replace(
      this.element,
      ...this.choices.map((choice, n) =>
        el(
          "li",
          { role: "option", id: `completion-${n}`, onmousedown: (event: Event) => (event.preventDefault(), this.take(choice)) },
          el("b", {}, choice.text),
          choice.help && ` ${choice.help}`,
        ),
      ),
    );
    this.choose(0);
  }

  private choose(n: number): void {
    this.chosen = (n + this.choices.length) % this.choices.length;
    [...this.element.children].forEach((item, k) => item.setAttribute("aria-selected", String(k === this.chosen)));
    this.element.children[this.chosen]?.scrollIntoView({ block: "nearest" });
    this.field.setAttribute("aria-activedescendant", `completion-${this.chosen}`);
  }

  private close(): void {
    this.element.hidden = true;
    this.field.removeAttribute("aria-activedescendant");
  }

  private key(event: KeyboardEvent): void {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.open(true);
      return;
    }
    if (this.element.hidden) return;
    if (event.key === "ArrowDown") this.choose(this.chosen + 1);
    else if (event.key === "ArrowUp") this.choose(this.chosen - 1);
    else if (event.key === "Enter" || event.key === "Tab") this.take(this.choices[this.chosen]!);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
  }

  private take({ inserted, back }: Choice): void {
    const { token, role } = this.place!,
      { field } = this;
    const rest = field.value.slice(token[1]);
    // The name of a member that has its colon already is written without a value.
    const text = role === "key" && /^\s*:/.test(rest) ? inserted.slice(0, inserted.lastIndexOf('":') + 1) : inserted;
    field.setSelectionRange(token[0], token[1]);
    // The command keeps the history of changes, so that they can be undone.
    if (!document.execCommand("insertText", false, text)) field.setRangeText(text, token[0], token[1], "end");
    const caret = token[0] + text.length - (text === inserted ? back : 0);
    field.setSelectionRange(caret, caret);
    this.close();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    this.close();
  }
}

const value = (text: string, help = ""): Choice => ({ text, help, inserted: JSON.stringify(text), back: 0 });

/** Return the member with a value of its type, and the caret in that value. */
function member(name: string, help: string, like = ""): Choice {
  return { text: name, help, inserted: `"${name}": ${like}`, back: /^("")|(\[\])|(\{\})$/.test(like) ? 1 : 0 };
}

function choicesAt({ role, container, key }: Place): Choice[] {
  const { pointer } = container,
    text = (name: string, from = container) => parsed(from.members.get(name) ?? "");
  let root = container;
  while (root.parent) root = root.parent;
  const isRecipe = pointer === "",
    isMap = pointer === "/tensors" || pointer === "/repeated";
  const dialect = (isRecipe ? "" : text("dialect")) || text("dialect", root) || "fanin";
  const scheme = text("scheme");
  const parameters =
    dialect === "fanin" ? (schemes[nameOf(scheme)]?.parameters ?? {}) : (dialects[dialect]?.[scheme] ?? {});
  if (role === "key") {
    if (isMap) return [];
    const own = isRecipe && !container.members.has("scheme") ? RECIPE : SHARED;
    const all = [
      ...Object.entries(own).map(([name, help]) => member(name, help, likeOf(name))),
      ...Object.entries(parameters).map(([name, each]) => member(name, helpOf(each), each.words?.some(isText) ? '""' : "")),
    ];
    return all.filter((choice) => !container.members.has(choice.text) || choice.text === key);
  }
  if (key === "scheme") {
    if (dialect !== "fanin") return Object.keys(dialects[dialect] ?? {}).map((name) => value(name));
    return Object.entries(schemes).flatMap(([name, { aliases, summary }]) => [
      value(name, summary),
      ...aliases.map((alias) => value(alias, `another name of ${name}`)),
    ]);
  }
  if (key === "dtype") return vocabulary.dtypes.map((name) => value(name));
  if (key === "dialect") return ["fanin", ...Object.keys(dialects)].map((name) => value(name));
  if (key === "layout" && isRecipe) return ["keras", "torch"].map((name) => value(name));
  const words = (key && parameters[key]?.words) || [];
  return words.map((word) => (isText(word) ? value(word) : { ...value(word), inserted: word }));
}

/** Return whether a word is written in quotation marks. */
const isText = (word: string) => word !== "true" && word !== "false";

const nameOf = (scheme: string) =>
  scheme in schemes ? scheme : (Object.keys(schemes).find((name) => schemes[name]!.aliases.includes(scheme)) ?? "");

function likeOf(name: string): string {
  if (name === "tensors" || name === "repeated") return "{}";
  if (name === "shape") return "[]";
  return name === "seed" ? "" : '""';
}

function helpOf({ type, words, default: usual }: Parameter): string {
  return `${words ? words.join(", ") : type}; ${usual === undefined ? "required" : `${JSON.stringify(usual)} by default`}`;
}
