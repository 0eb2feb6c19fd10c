/** The page: connects the parts. */

import type { RecipeAnswer } from "./protocol.js";
import { append, byId, el } from "./ui/dom.js";
import { Editor } from "./ui/editor.js";
import { EngineError, Latest, ask } from "./ui/engine.js";
import { EXAMPLES } from "./ui/examples.js";
import { withSeed } from "./ui/locate.js";
import { pretty } from "./ui/pretty.js";
import { SeedControl } from "./ui/seed.js";
import { ofLink, start } from "./ui/start.js";
import { Table } from "./ui/table.js";
import { followTheme } from "./ui/theme.js";
import { View } from "./ui/view.js";
import { bytes, count } from "./ui/words.js";

/** Milliseconds without a key after which the recipe is read. */
const PAUSE = 150;

class Page {
  private answer: RecipeAnswer | null = null;
  private chosen = "";
  private timer = 0;
  private readonly latest = new Latest();
  private readonly seeds = new Latest();
  private readonly view = new View();
  private readonly editor = new Editor(() => this.later());
  private readonly table = new Table((name) => this.choose(name));
  private readonly seed = new SeedControl((seed) => this.reseed(seed));

  constructor() {
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
    append(byId("tensor"), this.seed.element, this.view.element);
    addEventListener("hashchange", () => {
      const { recipe, tensor } = ofLink();
      if (recipe !== null) this.open(recipe, tensor);
    });
  }

  async begin(): Promise<void> {
    const { recipe, title, tensor } = await start();
    if (title) byId("title").textContent = title;
    this.open(recipe, tensor);
  }

  private open(text: string, tensor: string | null = null): void {
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
        this.editor.show(faults, "The recipe is not valid. The tensors are those of the last valid one.");
      }
    });
  }

  private take(answer: RecipeAnswer): void {
    this.answer = answer;
    this.editor.show([], `${count(answer.names.length)} tensors, ${count(answer.elements)} elements, ${bytes(answer.size)}`);
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

  private draw(): void {
    if (this.chosen) this.view.show({ name: this.chosen }, this.chosen);
  }
}

/** Return the tensor to begin with: the first matrix that is not constant. */
function usual({ names, kinds, kindOf }: RecipeAnswer): string {
  const constant = ["zeros", "ones", "constant"];
  const found = names.findIndex((_, n) => kinds[kindOf[n]!]!.shape.length > 1 && !constant.includes(kinds[kindOf[n]!]!.scheme));
  return names[Math.max(found, 0)] ?? "";
}

followTheme();
void new Page().begin();
