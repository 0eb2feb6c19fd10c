/** The download of the file, and the link that is the recipe. */

import type { RecipeAnswer } from "../protocol.js";
import type { Access } from "./access.js";
import { messageOf } from "./bits.js";
import { el } from "./dom.js";
import { ask } from "./engine.js";
import { compact } from "./pretty.js";
import { root } from "./start.js";
import { bytes, percent } from "./words.js";

/** Characters of a link that browsers and chat programs accept. */
const LONGEST = 30_000;
/** Bytes from which on a file should go to the disk while it is received. */
const LARGE = 2 ** 30;

interface SaveFile {
  createWritable(): Promise<WritableStream<Uint8Array> & { write(chunk: Uint8Array): Promise<void>; close(): Promise<void>; abort(): Promise<void> }>;
}
type Picker = (options: { suggestedName: string }) => Promise<SaveFile>;

export class FileControls {
  readonly element = el("div", { class: "stack" });
  private readonly source = el("select", { id: "source" }, el("option", { value: "browser" }, "generated in this browser"));
  private readonly save = el("button", { type: "button", id: "download", disabled: true, onclick: () => void this.download() }, "Download the file");
  private readonly stop = el("button", { type: "button", id: "stop", hidden: true, onclick: () => (this.isStopped = true) }, "Stop");
  private readonly bar = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Download" });
  private readonly status = el("p", { class: "fine", role: "status", id: "download-status" });
  private readonly link = el("input", { id: "link", readonly: true, "aria-label": "Link with the recipe" });
  private readonly copied = el("span", { class: "fine", role: "status" });
  private readonly copy = el("button", { type: "button", id: "copy-link", disabled: true, onclick: () => void this.makeLink() }, "Make a link");
  private readonly blocked = el("p", { class: "wrong", role: "status", id: "blocked" });
  private isFaulty = true;
  private answer: RecipeAnswer | null = null;
  private isStopped = false;

  constructor(
    private readonly access: Access,
    private readonly current: () => { text: string; tensor: string },
  ) {
    if (access.hasService) this.source.prepend(el("option", { value: "service", selected: true }, "from the service"));
    const keep = el("button", { type: "button", id: "save-recipe", onclick: () => this.saveRecipe() }, "Save recipe.json");
    this.element.append(
      this.blocked,
      el("div", { class: "controls" }, el("label", {}, "File ", this.source), this.save, this.stop, this.bar),
      this.status,
      el("div", { class: "controls" }, this.copy, keep, this.copied),
      this.link,
      el("p", { class: "fine" }, "The link contains the recipe itself. It is behind the #, which browsers do not send to a server."),
    );
    this.link.hidden = true;
  }

  /** Refuse the file and the link: the text is not a valid recipe. */
  block(): void {
    this.isFaulty = true;
    this.blocked.textContent = "The text of the recipe has a fault, so there is no file of it and no link to it. Mend the text first.";
    this.enable();
  }

  show(answer: RecipeAnswer): void {
    this.answer = answer;
    this.isFaulty = false;
    this.blocked.textContent = "";
    this.enable();
    if (this.bar.hidden) this.save.textContent = `Download the file, ${bytes(answer.size)}`;
    this.link.hidden = true;
    this.copied.textContent = "";
  }

  private async makeLink(): Promise<void> {
    const { text, tensor } = this.current();
    const members = new URLSearchParams({ recipe: compact(text), tensor });
    const found = `${location.origin}${location.pathname}#${members}`;
    if (found.length > LONGEST) {
      this.copied.textContent = `The recipe is too long for a link: ${found.length} characters, and ${LONGEST} are allowed. Save recipe.json instead.`;
      return;
    }
    history.replaceState(null, "", `#${members}`);
    this.link.value = found;
    this.link.hidden = false;
    this.link.select();
    this.copied.textContent = await navigator.clipboard.writeText(found).then(
      () => "The link is in the clipboard.",
      () => "The address of this page is now the link.",
    );
  }

  private saveRecipe(): void {
    offer(new Blob([this.current().text], { type: "application/json" }), "recipe.json");
  }

  private async download(): Promise<void> {
    const size = this.answer!.size,
      picker = (window as unknown as { showSaveFilePicker?: Picker }).showSaveFilePicker;
    const name = `fanin-${this.answer!.digest.slice(0, 12)}.safetensors`;
    this.isStopped = false;
    try {
      // A large file is written to the disk while it is received. Without that interface, the browser collects it first.
      const target = size > LARGE && picker ? await (await picker({ suggestedName: name })).createWritable() : null;
      this.busy(true);
      await ask("open", { source: this.source.value as "browser" | "service", root: root(), token: this.access.token });
      const parts: Blob[] = [];
      let done = 0;
      for (;;) {
        const { chunk } = await ask("read", {});
        if (!chunk || this.isStopped) break;
        done += chunk.length;
        if (target) await target.write(chunk);
        else parts.push(new Blob([chunk]));
        this.bar.value = done / size;
        this.status.textContent = `${bytes(done)} of ${bytes(size)}, ${percent(done / size)}`;
      }
      await ask("close", {});
      if (this.isStopped) {
        await target?.abort();
        this.status.textContent = "The download was stopped.";
        return;
      }
      if (done !== size) throw new Error(`${done} bytes were received, and the file has ${size}`);
      if (target) await target.close();
      else offer(new Blob(parts, { type: "application/octet-stream" }), name);
      this.status.textContent = `${name}: ${bytes(size)}, complete.`;
    } catch (error) {
      this.status.textContent = messageOf(error);
      this.access.refused(error);
    } finally {
      this.busy(false);
    }
  }

  private busy(isBusy: boolean): void {
    this.bar.value = 0;
    this.bar.hidden = this.stop.hidden = !isBusy;
    this.enable();
  }

  private enable(): void {
    this.copy.disabled = this.isFaulty;
    this.save.disabled = this.isFaulty || !this.bar.hidden;
  }
}

/** Let the browser save bytes under a name. */
function offer(data: Blob, name: string): void {
  const url = URL.createObjectURL(data);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
