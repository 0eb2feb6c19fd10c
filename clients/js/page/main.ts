/** The page: connects the parts. */

import type { RecipeAnswer } from "./protocol.js";
import { DepthControls } from "./plots/depth.js";
import { Access } from "./ui/access.js";
import { Bits } from "./ui/bits.js";
import { Code } from "./ui/code.js";
import { Comparison } from "./ui/comparison.js";
import { append, byId, el } from "./ui/dom.js";
import { Editor } from "./ui/editor.js";
import { EngineError, Latest, ask } from "./ui/engine.js";
import { EXAMPLES } from "./ui/examples.js";
import { FileControls } from "./ui/file.js";
import { withSeed } from "./ui/locate.js";
import { pretty } from "./ui/pretty.js";
import { SeedControl } from "./ui/seed.js";
import { type Start, ofLink, start } from "./ui/start.js";
import { Table } from "./ui/table.js";
import { followTheme } from "./ui/theme.js";
import { View } from "./ui/view.js";
import { bytes, things } from "./ui/words.js";

/** Milliseconds without a key after which the recipe is read. */
const PAUSE = 150;

class Page {
  private answer: RecipeAnswer | null = null;
  private chosen = "";
  private timer = 0;
  private readonly latest = new Latest();
  private readonly seeds = new Latest();
  private readonly depth = new DepthControls(() => {
    this.view.redeepen();
    this.comparison.view.redeepen();
  });
  private readonly view = new View(this.depth, this.depth.element);
  private readonly comparison = new Comparison(this.depth, () => void this.drawViews());
  private readonly editor = new Editor(() => this.later());
  private readonly table = new Table((name) => this.choose(name));
  private readonly seed = new SeedControl((seed) => this.reseed(seed));

  private readonly access: Access;
  private readonly bits: Bits;
  private readonly file: FileControls;
  private readonly code: Code;

  constructor({ hasService, title }: Start) {
    this.access = new Access(hasService);
    this.bits = new Bits(this.access);
    this.file = new FileControls(this.access, () => ({ text: this.editor.text, tensor: this.chosen }));
    this.code = new Code(this.access);
    View.pair(this.view, this.comparison.view);
    if (title) byId("title").textContent = title;
    byId("calls").hidden = !hasService;
    byId("calls").dataset.known = "";
    const examples = el(
      "select",
      { id: "example" },
      el("option", { value: "" }, "choose"),
      ...EXAMPLES.map(({ title }, n) => el("option", { value: n }, title)),
    );
    examples.addEventListener("change", () => {
      const example = EXAMPLES[Number(examples.value)];
      if (examples.value && example) this.open(pretty(example.text));
      examples.value = "";
    });
    append(byId("recipe"), el("label", {}, "Example ", examples), this.editor.element);
    append(byId("tensors"), this.table.element);
    append(
      byId("tensor"),
      this.seed.element,
      this.comparison.controls,
      el("div", { class: "compared" }, this.view.element, this.comparison.view.element),
    );
    append(byId("bits"), this.access.element, this.bits.element);
    append(byId("file"), this.file.element);
    append(byId("code"), this.code.element);
    addEventListener("hashchange", () => {
      const { recipe, tensor } = ofLink();
      if (recipe !== null) this.open(recipe, tensor);
    });
  }

  open(text: string, tensor: string | null = null): void {
    this.editor.text = text;
    if (tensor !== null) this.chosen = tensor;
    this.read();
  }

  private later(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(), PAUSE);
  }

  /** Read the text of the editor, and show its tensors or its faults. */
  private read(): void {
    clearTimeout(this.timer);
    this.latest.run(async () => {
      try {
        this.take(await ask("recipe", { text: this.editor.text }));
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        const faults = error.faults.length ? error.faults : [{ pointer: "", detail: error.message }];
        this.editor.show(faults, "The recipe is not valid.");
        this.file.block();
        const { answer } = this;
        byId("stale").textContent = `The text of the recipe has a fault. ${answer ? `Everything here is of the last valid recipe, ${answer.digest.slice(0, 12)}.` : "There is nothing to show until it is mended."}`;
        byId("stale").hidden = false;
      }
    });
  }

  private take(answer: RecipeAnswer): void {
    this.answer = answer;
    this.editor.show([], `${things(answer.names.length, "tensor")}, ${things(answer.elements, "element")}, ${bytes(answer.size)}`);
    byId("stale").hidden = true;
    if (!answer.names.includes(this.chosen)) this.chosen = usual(answer);
    this.seed.value = answer.seed;
    this.table.show(answer, this.chosen);
    this.draw();
  }

  private choose(name: string): void {
    this.chosen = name;
    this.draw();
  }

  private reseed(seed: string): void {
    this.seeds.run(async () => {
      if (!this.answer) return;
      this.answer = { ...this.answer, ...(await ask("seed", { seed })) };
      this.editor.text = withSeed(this.editor.text, seed);
      this.draw();
    });
  }

  private async drawViews(): Promise<void> {
    const { chosen } = this,
      range = await this.comparison.range(chosen);
    this.view.show({ name: chosen }, chosen, range);
    this.comparison.show(chosen, range);
  }

  private draw(): void {
    if (!this.answer || !this.chosen) return;
    void this.drawViews();
    this.bits.show(this.answer, this.chosen);
    this.file.show(this.answer);
    this.code.show(this.editor.text, this.chosen);
  }
}

/** Return the tensor to begin with: the first matrix that is not constant. */
function usual({ names, kinds, kindOf }: RecipeAnswer): string {
  const constant = ["zeros", "ones", "constant"];
  const found = names.findIndex((_, n) => kinds[kindOf[n]!]!.shape.length > 1 && !constant.includes(kinds[kindOf[n]!]!.scheme));
  return names[Math.max(found, 0)] ?? "";
}

followTheme();
const begin = await start();
new Page(begin).open(begin.recipe, begin.tensor);
