/**
 * Uses every control of the built page in Chromium. Reads cases from standard input, writes a report as JSON.
 *
 * It needs no network: each request to another origin is reported. Nothing here depends on speed.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { servePage } from "./page-server.js";

const input = JSON.parse(readFileSync(0, "utf8"));
const report = { checks: 0, failures: [], requests: [], violations: [], errors: [], axe: [], snippets: {} };
const TIMEOUT = Number(process.env.FANIN_PAGE_TIMEOUT ?? 240) * 1000;
let step = "";

function check(name, found, wanted) {
  report.checks++;
  if (JSON.stringify(found) !== JSON.stringify(wanted)) report.failures.push(`${step}: ${name}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}
const sha = (data) => createHash("sha256").update(data).digest("hex");

/** Reply as a service that wants the key "secret", with the digests and the file of `input.served`. */
async function service(path, request, response) {
  const send = (status, body, headers = {}) => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(body);
    return true;
  };
  if (!path.startsWith("v1/")) return false;
  if (request.headers.authorization !== "Bearer secret") return send(401, JSON.stringify({ title: "a key is required" }), { "Content-Type": "application/problem+json" });
  for await (const _ of request);
  const { digest, digests, file } = input.served;
  if (path === "v1/recipes") return send(200, JSON.stringify({ digest }));
  if (path === `v1/recipes/${digest}/digests`) return send(200, JSON.stringify(digests));
  if (path !== `v1/recipes/${digest}/model.safetensors`) return send(404, "{}");
  const bytes = Buffer.from(file, "base64"),
    [, from] = /^bytes=(\d+)-/.exec(request.headers.range);
  return send(206, bytes.subarray(Number(from)), { "Content-Type": "application/octet-stream", ETag: `"${digest}"`, "Content-Range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
}

const server = await servePage(input.start, { root: "/under/a/path/", answer: service });
const browser = await chromium.launch({
  executablePath: input.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
});
const context = await browser.newContext({ acceptDownloads: true, viewport: { width: 1300, height: 900 } });
context.setDefaultTimeout(TIMEOUT);
await context.addInitScript({ content: readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8") });
await context.addInitScript(() => {
  globalThis.violations = [];
  addEventListener("securitypolicyviolation", (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
});
const page = await context.newPage();
page.on("request", (request) => {
  if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) report.requests.push(request.url());
});
page.on("console", (message) => {
  // The service first refuses a request without a key, which Chromium logs.
  if (message.type() === "error" && !message.text().includes("401")) report.errors.push(`${step}: ${message.text()}`);
});
page.on("pageerror", (error) => report.errors.push(`${step}: ${error.message}`));

const text = (selector) => page.locator(selector).first().textContent();
const until = (what, argument) => page.waitForFunction(what, argument, { timeout: TIMEOUT });
const untilText = (selector, part) => until(([where, wanted]) => document.querySelector(where)?.textContent.includes(wanted), [selector, part]);
/** Wait until all plots of a tensor are those of this recipe. */
const untilShown = (name, digest) =>
  until(
    ([wanted, hash]) => {
      const shown = document.querySelector(".view").dataset.shown;
      const now = document.querySelector("#sha-recipe")?.textContent;
      return shown && JSON.parse(shown).name === wanted && (!hash || now === hash);
    },
    [name, digest ?? null],
  );
async function write(recipe) {
  await page.evaluate(() => delete document.querySelector(".view").dataset.shown);
  await page.locator("#text").fill(recipe);
}
async function axe(name) {
  const found = await page.evaluate(async () => (await globalThis.axe.run(document)).violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.target.join(" ")).join(", ")}`));
  report.axe.push(...found.map((each) => `${name}: ${each}`));
}

const steps = {
  async start() {
    await page.goto(server.url);
    await untilShown(input.cases[0].name, input.cases[0].digest);
    check("title", await text("#title"), "A title <b>of the server</b>");
    check("seed", await page.locator("#seed").inputValue(), "18446744073709551615");
    report.firstDraw = Number(await page.evaluate(() => document.documentElement.dataset.drawn));
    await axe("light");
  },
  async values() {
    for (const each of input.cases) {
      step = `values of ${each.title}`;
      await write(each.recipe);
      await untilShown(each.name, each.digest);
      await until(() => document.querySelector("#sha-file"));
      for (const key of ["mean", "std", "low", "high"]) {
        for (const place of ["drawn", "stored"]) {
          const shown = await text(`[data-${place}=${key}]`),
            wanted = each[place][key];
          const isEqual = typeof wanted === "number" ? Math.abs(Number(shown) - wanted) <= 5.1e-9 * Math.abs(wanted) + 1e-300 : shown === (wanted === null ? "no bound" : "not computed");
          check(`${each.title} ${place} ${key}: ${shown} is ${wanted}`, isEqual, true);
        }
        if (each.measured) {
          const close = Math.abs(Number(await text(`[data-measured=${key}]`)) - each.measured[key]) <= 1e-5 * Math.abs(each.measured[key]) + 1e-7;
          check(`${each.title} measured ${key}`, close, true);
        }
      }
      check(`${each.title} fans`, (await text(".view .facts")).includes(each.fans), true);
      check(`${each.title} formula`, (await text(".view .facts")).includes(each.draw), true);
      check(`${each.title} tensor`, await text("#sha-tensor"), each.sha256);
      check(`${each.title} file`, await text("#sha-file"), each.file);
      for (const [key, wanted] of Object.entries(each.rounding ?? {})) {
        const shown = await text(`[data-rounding=${key}]`);
        check(`${each.title} rounding ${key}`, Number(shown.split(" ")[0].replaceAll(",", "")), wanted);
      }
      if (each.spectrum) check("spectrum", (await text("[data-plot=spectrum]")).includes(each.spectrum), true);
      check(`${each.title} message`, await text(".view .wrong"), "");
    }
  },
  async faults() {
    await page.locator("#text").fill('{"seed": 1, "tensors": {"a.b/c": {"shape": [2, 3], "scheme": "normal", "std": -1}}}');
    await untilText("#faults", "/tensors/a.b~1c/std");
    check("invalid", await page.locator("#text").getAttribute("aria-invalid"), "true");
    check("mark", await text(".editor mark"), "-1");
    check("said", (await text("#stale")).includes(`the last valid recipe, ${input.cases.at(-1).digest.slice(0, 12)}`), true);
    check("refused", [await page.locator("#download").isDisabled(), await page.locator("#copy-link").isDisabled()], [true, true]);
    check("reason", (await text("#blocked")).includes("has a fault"), true);
    await page.locator(".fault").first().click();
    const selected = () => document.querySelector("#text").value.slice(document.querySelector("#text").selectionStart, document.querySelector("#text").selectionEnd);
    check("selection", await page.evaluate(selected), "-1");
    await page.locator("#text").fill('{"seed": 1,, }');
    await untilText("#faults", "not JSON");
    await axe("faults");
  },
  async completion() {
    await write('{"shape": [8, 4], "scheme": "" }');
    await page.locator("#text").evaluate((field) => field.setSelectionRange(29, 29));
    await page.locator("#text").pressSequentially("he_n");
    await until(() => !document.querySelector("#completion").hidden);
    check("first", (await text("#completion [aria-selected=true] b")), "he_normal");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    check("scheme", await page.locator("#text").inputValue(), '{"shape": [8, 4], "scheme": "he_normal" }');
    await page.locator("#text").evaluate((field) => field.setSelectionRange(39, 39));
    await page.keyboard.type(", ");
    await page.keyboard.press("Control+Space");
    await until(() => !document.querySelector("#completion").hidden);
    await page.keyboard.type('"mo');
    await page.keyboard.press("Tab");
    await page.keyboard.type("fan_o");
    await page.keyboard.press("Tab");
    check("parameter", await page.locator("#text").inputValue(), '{"shape": [8, 4], "scheme": "he_normal", "mode": "fan_out" }');
    await untilShown("weight");
    await page.keyboard.press("Control+Space");
    await page.keyboard.press("Escape");
    check("closed", await page.locator("#completion").isHidden(), true);
  },
  async examples() {
    const count = await page.locator("#example option").count();
    for (let n = 0; n < count - 1; n++) {
      step = `example ${n}`;
      await page.evaluate(() => delete document.querySelector(".view").dataset.shown);
      await page.locator("#example").selectOption({ value: String(n) });
      await until(() => document.querySelector(".view").dataset.shown);
      check(`example ${n}`, await page.locator("#text").getAttribute("aria-invalid"), "false");
    }
    check("examples", count > 5, true);
  },
  async table() {
    await write('{"seed": 5, "tensors": {}, "repeated": {"layers.{0..9999}.weight": {"shape": [16, 16], "scheme": "normal", "std": 1}, "layers.{0..9999}.bias": {"shape": [16], "scheme": "zeros", "dtype": "BF16"}}}');
    await untilText("#shown", "20,000 tensors");
    check("rows", (await page.locator("[role=gridcell]").count()) < 400, true);
    await page.locator("#filter").fill("s.77");
    await untilText("#shown", "222 of 20,000");
    await page.locator("#filter").fill("bf16");
    await untilText("#shown", "10,000 of 20,000");
    await page.locator("#filter").fill("");
    await page.locator("#grid").focus();
    await page.keyboard.press("End");
    await untilShown("layers.9999.bias").catch(() => null);
    const last = JSON.parse(await page.locator(".view").first().getAttribute("data-shown")).name;
    check("last", await text("[role=row][aria-selected=true] [role=gridcell]"), last);
    await page.keyboard.press("ArrowUp");
    await until((name) => JSON.parse(document.querySelector(".view").dataset.shown).name !== name, last);
    await page.keyboard.press("Home");
    await until(() => document.querySelector("[aria-rowindex='2'][aria-selected=true]"));
    await page.locator("[aria-rowindex='4']").click();
    await untilShown(await text("[aria-rowindex='4'] [role=gridcell]"));
  },
  async seed() {
    const { recipe, name, digest, next, sha256 } = input.seeded;
    await write(recipe);
    await untilShown(name, digest);
    await page.locator("#seed-slider").focus();
    await page.keyboard.press("ArrowRight");
    await untilShown(name, next.digest);
    await until(() => document.querySelector("#sha-tensor"));
    check("field", await page.locator("#seed").inputValue(), "43");
    check("editor", (await page.locator("#text").inputValue()).includes('"seed": 43'), true);
    check("bits", [await text("#sha-tensor"), sha256 !== next.sha256], [next.sha256, true]);
    await page.locator("#seed").fill("18446744073709551616");
    await untilText("#seed-fault", "2^64 - 1");
    await page.locator("#seed").fill("42");
    await untilShown(name, digest);
  },
  async comparison() {
    await page.locator("#compared").selectOption("uniform");
    await until(() => document.querySelectorAll(".view")[1].dataset.shown);
    const axes = () => page.locator("[data-plot=histogram] svg").evaluateAll((all) => all.map((each) => / from (\S+ to \S+)\. /.exec(each.getAttribute("aria-label"))[1]));
    await until(() => {
      const [first, second] = [...document.querySelectorAll("[data-plot=histogram] svg")].map((each) => / from (\S+ to \S+)\. /.exec(each.getAttribute("aria-label"))[1]);
      return first === second;
    });
    check("one axis", new Set(await axes()).size, 1);
    const heights = (plot) => page.locator(`[data-plot=${plot}] svg`).evaluateAll((all) => all.map((each) => [...each.querySelectorAll("text[text-anchor=end]")].map((tick) => tick.textContent).join()));
    for (const plot of ["histogram", "spectrum", "depth"]) {
      await until((name) => document.querySelectorAll(`[data-plot=${name}] svg`).length === 2, plot);
      const found = await heights(plot);
      check(`one vertical axis of ${plot}`, [found.length, found[0]], [2, found[1]]);
    }
    const strongest = await page.locator(".readout").evaluateAll((all) => all.map((each) => /±\S+/.exec(each.textContent)[0]));
    check("one scale of colours", strongest, [strongest[0], strongest[0]]);
    const tops = await page.locator("[data-plot=heat] canvas").evaluateAll((all) => all.map((each) => Math.round(each.getBoundingClientRect().top)));
    check("beside each other", tops[0], tops[1]);
    check("two", await page.locator(".view:not([hidden])").count(), 2);
    const second = page.locator(".view").nth(1);
    check("scheme", (await second.locator(".facts").first().textContent()).includes("U["), true);
    await axe("comparison");
    await page.locator("#compared-members").fill('{"scheme": "normal", "std": -2}');
    await page.locator("#compared-members").press("Enter");
    await until(() => document.querySelectorAll(".view")[1].querySelector(".wrong").textContent.includes("std"));
    await page.locator("#compared-members").fill('{"scheme": "orthogonal"}');
    await page.locator("#compared-members").press("Enter");
    await until(() => document.querySelectorAll(".view")[1].dataset.shown?.includes("orthogonal"));
    check("orthogonal", (await second.locator(".facts").first().textContent()).includes("Q orthogonal"), true);
    await page.locator("#compared").selectOption("");
    check("one", await page.locator(".view:not([hidden])").count(), 1);
  },
  async plots() {
    const label = () => page.locator("[data-plot=depth] svg").first().getAttribute("aria-label");
    const before = await label();
    check("relu", before.startsWith("From layer 1 to 24 the mean square of the signal is multiplied by 1, "), true);
    await page.locator("#activation").selectOption("tanh");
    await until((old) => document.querySelector("[data-plot=depth] svg").getAttribute("aria-label") !== old, before);
    await page.locator("#layers").fill("8");
    await page.locator("#layers").press("Enter");
    await until(() => document.querySelector("[data-plot=depth] svg").getAttribute("aria-label").startsWith("From layer 1 to 8 "));
    await page.locator("[data-plot=heat] canvas").first().focus();
    await page.keyboard.press("ArrowRight");
    check("element", await text(".readout"), `row 0, column 1: ${Number(input.seeded.elements[0].toPrecision(7))}`);
    await page.locator("[data-first=row]").first().fill("300");
    await page.locator("[data-first=row]").first().press("Enter");
    await until(() => document.querySelector("[data-plot=heat] canvas").getAttribute("aria-label").includes("rows 44 to 299"));
    await page.locator("[data-plot=heat] canvas").first().hover({ position: { x: 9, y: 9 } });
    check("hover", /^row \d+, column \d+: /.test(await text(".readout")), true);
    await page.locator("[data-plot=heat] canvas").first().focus();
    for (let n = 0; n < 20; n++) for (const key of ["ArrowLeft", "ArrowUp"]) await page.keyboard.press(key);
    check("moved", await text(".readout"), `row 44, column 0: ${Number(input.seeded.elements[1].toPrecision(7))}`);
    const labels = await page.locator("svg[role=img]").evaluateAll((all) => all.map((each) => each.getAttribute("aria-label").length > 30));
    check("alternatives", [labels.length >= 3, labels.every(Boolean)], [true, true]);
  },
  async columns() {
    await write('{"shape": [20, 400], "scheme": "arange", "dtype": "I32"}'); // each element is the number of its column
    await untilShown("weight");
    await page.locator("[data-first=column]").first().fill("100");
    await page.locator("[data-first=column]").first().press("Enter");
    await until(() => document.querySelector("[data-plot=heat] canvas").getAttribute("aria-label").includes("columns 100 to 355"));
    await page.locator("[data-plot=heat] canvas").first().focus();
    await page.keyboard.press("ArrowRight");
    check("element", await text(".readout"), "row 0, column 101: 101");
    await write(input.seeded.recipe);
    await untilShown(input.seeded.name, input.seeded.digest);
  },
  async theme() {
    const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await colour();
    await page.locator("#theme").selectOption("dark");
    check("dark", (await colour()) !== light, true);
    await axe("dark");
    await page.locator("#theme").selectOption("");
    await page.emulateMedia({ colorScheme: "dark" });
    check("of the system", (await colour()) !== light, true);
    await page.emulateMedia({ colorScheme: "light" });
  },
  async code() {
    for (const language of ["python", "torch", "jax", "curl"]) {
      await page.locator("#language").selectOption(language);
      report.snippets[language] = await text("#snippet");
    }
    await page.locator("#copy-code").click();
    await until(() => document.querySelector("#copy-code").nextSibling.textContent !== "");
  },
  async download() {
    const [found] = await Promise.all([page.waitForEvent("download"), page.locator("#source").selectOption("browser").then(() => page.locator("#download").click())]);
    check("file", sha(readFileSync(await found.path())), input.seeded.file);
    await untilText("#download-status", "complete");
    const [recipe] = await Promise.all([page.waitForEvent("download"), page.locator("#save-recipe").click()]);
    check("recipe", readFileSync(await recipe.path(), "utf8"), await page.locator("#text").inputValue());
  },
  async stop() {
    await write('{"shape": [30000, 8000], "scheme": "uniform", "low": -1, "high": 1}');
    await untilShown("weight");
    check("large", await page.locator("#digest").isVisible(), true);
    await page.locator("#download").click();
    await page.locator("#stop").click();
    await untilText("#download-status", "stopped");
  },
  async service() {
    await write(input.served.recipe);
    await untilShown(input.served.name, input.served.digest);
    await page.locator("#compare-service").click();
    await untilText("#bits", "requires a key");
    await page.locator("#key").fill("secret");
    await page.locator("#compare-service").click();
    await untilText("#same", "The same bits");
    check("service", await text("#sha-service"), input.served.digests.tensors[input.served.name].join(" "));
    check("tensor", await text("#sha-tensor"), input.served.sha256);
    await page.locator("#source").selectOption("service");
    const [found] = await Promise.all([page.waitForEvent("download"), page.locator("#download").click()]);
    check("file", sha(readFileSync(await found.path())), input.served.digests.file);
    check("key", await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]).includes("secret")), false);
  },
  async link() {
    const { recipe, name, digest } = input.seeded;
    await write(recipe);
    await untilShown(name, digest);
    await page.locator("#copy-link").click();
    await until(() => !document.querySelector("#link").hidden);
    const link = await page.locator("#link").inputValue();
    check("address", link, page.url());
    await page.goto("about:blank");
    await page.goto(link);
    await untilShown(name, digest);
    check("its recipe wins over that of the server", await page.locator("#seed").inputValue(), "42");
    const other = new URLSearchParams({ recipe: '{"shape":[3,4],"scheme":"ones"}' });
    await page.evaluate((hash) => (location.hash = hash), String(other));
    await untilShown("weight");
  },
  async names() {
    await write(JSON.stringify({ tensors: { "<img src=x onerror=alert(1)>": { shape: [4, 4], scheme: "he_normal" }, '"</script><b>': { shape: [4], scheme: "zeros" } } }));
    await untilShown("<img src=x onerror=alert(1)>");
    check("elements", await page.locator("img, b:not(.completion b), script:not([src])").count(), 0);
  },
  async phone() {
    await page.setViewportSize({ width: 390, height: 800 });
    check("width", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
    await axe("phone");
  },
  async offline() {
    await context.setOffline(true);
    await write('{"seed": 9, "shape": [40, 40], "scheme": "orthogonal"}');
    await untilShown("weight");
    await context.setOffline(false);
  },
};

for (const [name, run] of Object.entries(steps)) {
  if (process.env.FANIN_PAGE_STEPS && !process.env.FANIN_PAGE_STEPS.includes(name)) continue;
  step = name;
  process.stderr.write(`${name}\n`);
  try {
    await run();
  } catch (error) {
    report.failures.push(`${step}: ${error.message.split("\n").slice(0, 3).join(" ")}`);
  }
  report.violations.push(...(await page.evaluate(() => globalThis.violations.splice(0)).catch(() => [])));
}
await browser.close();
server.close();
process.stdout.write(JSON.stringify(report));
