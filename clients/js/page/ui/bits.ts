/** SHA-256 of the chosen tensor, computed here, beside the digests of the service. */

import type { RecipeAnswer } from "../protocol.js";
import type { Access } from "./access.js";
import { el, replace } from "./dom.js";
import { EngineError, ask } from "./engine.js";
import { root } from "./start.js";
import { bytes, count } from "./words.js";

/** Bytes up to which a digest is computed without a click. */
const SMALL = 1 << 24;
/** Bytes of a block, as in the digests of a service. */
const BLOCK = 1 << 26;

export class Bits {
  readonly element = el("div", { class: "stack" });
  private readonly list = el("dl", { class: "facts digests" });
  private readonly status = el("p", { role: "status", id: "same", class: "fine" });
  private readonly bar = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Digest" });
  private readonly compute = el("button", { type: "button", id: "digest", onclick: () => void this.own() }, "Compute the SHA-256");
  private readonly compare = el("button", { type: "button", id: "compare-service", onclick: () => void this.beside() }, "Compare with the service");
  private answer: RecipeAnswer | null = null;
  private name = "";
  /** Counts the tensors that were shown: a result for an older one is dropped. */
  private turn = 0;
  private found = new Map<string, string>();

  constructor(private readonly access: Access) {
    this.element.append(
      el("p", { class: "fine" }, 'Fanin makes the same bits everywhere. Compare the SHA-256: the Python program under "Code" prints the same ones.'),
      this.list,
      el("div", { class: "controls" }, this.compute, ...(access.hasService ? [this.compare] : []), this.bar),
      this.status,
    );
  }

  show(answer: RecipeAnswer, name: string): void {
    this.answer = answer;
    this.name = name;
    this.turn++;
    this.found = new Map([["recipe", answer.digest]]);
    this.status.textContent = "";
    this.bar.hidden = true;
    this.renew();
    void ask("stopDigest", {});
    const size = this.size();
    this.compute.hidden = size <= SMALL;
    this.compute.textContent = `Compute the SHA-256 of ${bytes(size)}`;
    if (size <= SMALL) void this.own();
  }

  private size(): number {
    const { names, kinds, kindOf } = this.answer!;
    return kinds[kindOf[names.indexOf(this.name)]!]?.bytes ?? 0;
  }

  /** Compute the digests of the tensor, and of the file if it is small. */
  private async own(): Promise<void> {
    const { turn } = this,
      isOld = () => turn !== this.turn;
    try {
      const tensor = await this.digest(this.name, isOld);
      if (isOld()) return;
      this.found.set("tensor", tensor.sha256);
      this.renew();
      if (this.answer!.size > SMALL) return;
      const file = await this.digest(null, isOld);
      if (isOld()) return;
      this.found.set("file", file.sha256);
      this.renew();
    } catch (error) {
      if (isOld()) return;
      this.status.textContent = messageOf(error);
    } finally {
      if (!isOld()) this.bar.hidden = true;
    }
  }

  private digest(name: string | null, isOld: () => boolean, blockSize = BLOCK) {
    return ask("digest", { name, blockSize }, (part) => {
      if (isOld()) return;
      this.bar.hidden = part >= 1;
      this.bar.value = part;
    });
  }

  /** Request the digests of the service, and compute the same ones here. */
  private async beside(): Promise<void> {
    const { turn, name } = this,
      isOld = () => turn !== this.turn;
    this.status.className = "fine";
    this.status.textContent = "The service computes its digests.";
    try {
      const theirs = await ask("serviceDigests", { root: root(), token: this.access.token, name });
      if (isOld()) return;
      const ours = await this.digest(name, isOld, theirs.blockSize);
      if (isOld()) return;
      this.found.set("tensor", ours.sha256);
      this.found.set("service", theirs.blocks.join(" "));
      this.renew();
      const isSame = ours.blocks.length === theirs.blocks.length && ours.blocks.every((each, n) => each === theirs.blocks[n]);
      const what = ours.blocks.length === 1 ? "the tensor" : `all ${count(ours.blocks.length)} blocks of the tensor`;
      this.status.className = isSame ? "same" : "wrong";
      this.status.textContent = isSame
        ? `The same bits: the service and this browser have the same SHA-256 of ${what}.`
        : "Different bits: the service has another SHA-256 of the tensor.";
    } catch (error) {
      if (isOld()) return;
      this.status.className = "wrong";
      this.status.textContent = messageOf(error);
      this.access.refused(error);
    } finally {
      if (!isOld()) this.bar.hidden = true;
    }
  }

  private renew(): void {
    const names: Record<string, string> = {
      recipe: "digest of the recipe in its canonical form",
      tensor: "SHA-256 of the tensor, computed here",
      service: "SHA-256 of the tensor, from the service",
      file: "SHA-256 of the file, computed here",
    };
    replace(
      this.list,
      ...Object.entries(names).flatMap(([key, title]) =>
        this.found.has(key) ? [el("dt", {}, title), el("dd", {}, el("code", { id: `sha-${key}` }, this.found.get(key)!))] : [],
      ),
    );
  }
}

export const messageOf = (error: unknown): string =>
  error instanceof EngineError || error instanceof Error ? error.message : String(error);
