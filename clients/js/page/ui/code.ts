/** Programs that make the same weights elsewhere. */

import type { Access } from "./access.js";
import { el } from "./dom.js";
import { compact } from "./pretty.js";
import { root } from "./start.js";

/** Characters of a recipe that is written into a program. */
const LONGEST = 4000;

interface Language {
  readonly title: string;
  readonly code: (recipe: Recipe) => string;
}
interface Recipe {
  /** The text of the recipe, as an expression of Python. */
  readonly python: string;
  /** The data argument of curl, and what follows the command. */
  readonly data: string;
  readonly after: string;
  /** The chosen tensor, as a literal of Python. */
  readonly tensor: string;
  readonly url: string;
  /** A comment where this page has no service. */
  readonly before: string;
  readonly header: string;
}

const LANGUAGES: Readonly<Record<string, Language>> = {
  curl: {
    title: "curl",
    code: ({ before, url, header, data, after }) =>
      `${before}curl -fo weights.safetensors -H 'Content-Type: application/json' ${header}--data-binary ${data} '${url}v1/weights'${after}`,
  },
  python: {
    title: "Python",
    code: ({ python, tensor }) =>
      `import hashlib\n\nimport fanin\n\nrecipe = ${python}\nweights = fanin.materialize(recipe)  # NumPy arrays by name\nprint(weights[${tensor}])\nfanin.save(recipe, "weights.safetensors")\n\n# The same digests as on this page:\nprint(fanin.as_recipe(recipe).digest)\nprint(hashlib.sha256(weights[${tensor}].tobytes()).hexdigest())\nwith open("weights.safetensors", "rb") as file:\n    print(hashlib.file_digest(file, "sha256").hexdigest())\n`,
  },
  torch: {
    title: "PyTorch",
    code: ({ python, tensor }) =>
      `import fanin\nfrom safetensors.torch import load_file\n\nrecipe = ${python}\nfanin.save(recipe, "weights.safetensors")\nweights = load_file("weights.safetensors")  # tensors by name\nprint(weights[${tensor}])\n\n# A module whose parameters have these names is filled in place, without a file:\n# import fanin.torch\n# fanin.torch.init_(model, recipe)\n`,
  },
  jax: {
    title: "JAX",
    code: ({ python, tensor }) =>
      `import fanin\nimport fanin.jax\n\nrecipe = ${python}\nweights = fanin.jax.arrays(recipe)  # arrays by name\nprint(weights[${tensor}])\n`,
  },
};

export class Code {
  readonly element: HTMLElement;
  private readonly language = el("select", { id: "language" }, ...Object.entries(LANGUAGES).map(([name, { title }]) => el("option", { value: name }, title)));
  private readonly text = el("pre", { id: "snippet", tabindex: 0, role: "region", "aria-label": "Program" });
  private readonly copied = el("span", { class: "fine", role: "status" });
  private recipe: Omit<Recipe, "header"> | null = null;

  constructor(private readonly access: Access) {
    const copy = el("button", { type: "button", id: "copy-code", onclick: () => void this.copy() }, "Copy");
    this.element = el("div", { class: "stack" }, el("div", { class: "controls" }, el("label", {}, "Language ", this.language), copy, this.copied), this.text);
    this.language.addEventListener("change", () => this.write());
    access.element.addEventListener("input", () => this.write());
  }

  /** Show the programs for a text that is a valid recipe. */
  show(text: string, tensor: string): void {
    const json = compact(text),
      isShort = json.length <= LONGEST;
    this.recipe = {
      python: isShort ? `r"""${json}"""` : `open("recipe.json").read()  # the recipe, saved under this name`,
      data: isShort ? "@-" : "@recipe.json",
      after: isShort ? ` <<'RECIPE'\n${json}\nRECIPE\n` : "\n",
      tensor: JSON.stringify(tensor),
      url: this.access.hasService ? root() : "http://127.0.0.1:8000/",
      before: this.access.hasService ? "" : "# A service must run at this address: fanin serve\n",
    };
    this.write();
  }

  private write(): void {
    const header = this.access.token ? '-H "Authorization: Bearer $FANIN_TOKEN" ' : "";
    if (this.recipe) this.text.textContent = LANGUAGES[this.language.value]!.code({ ...this.recipe, header });
    this.copied.textContent = "";
  }

  private async copy(): Promise<void> {
    this.copied.textContent = await navigator.clipboard.writeText(this.text.textContent ?? "").then(
      () => "Copied.",
      () => "The browser does not allow it. Select the text instead.",
    );
  }
}
