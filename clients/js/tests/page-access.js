/**
 * Uses the page of a running service that requires keys, in Chromium. Reads the service and its keys from standard input,
 * writes what the page said and what the browser sent as JSON.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const input = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({
  executablePath: input.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
});
const context = await browser.newContext({ acceptDownloads: true });
context.setDefaultTimeout(120_000);
const page = await context.newPage();
const sent = [];
context.on("request", (request) => sent.push(request));
const errors = [];
page.on("pageerror", (error) => errors.push(error.message));

const text = (selector) => page.locator(selector).textContent();
const keyOf = async (name) => page.locator("#key").fill(input.keys[name] ?? "");
/** Click, and return what the page says of the key and of the call. */
async function refused(button, status) {
  await page.evaluate((id) => (document.querySelector(id).textContent = ""), status);
  await page.locator("#key-message").evaluate((message) => (message.textContent = ""));
  await page.locator(button).click();
  await page.waitForFunction((id) => document.querySelector("#key-message").textContent && document.querySelector(id).textContent, status);
  return [await text("#key-message"), await text(status)];
}

await page.goto(input.url);
await page.waitForFunction(() => document.querySelector(".view")?.dataset.shown);
await page.locator("#text").fill(input.recipe);
await page.waitForFunction((digest) => document.querySelector("#sha-recipe")?.textContent === digest && document.querySelector("#sha-tensor"), input.digest);
await page.locator("#source").selectOption("service");
const refusals = {};
for (const name of ["none", "unknown", "other"]) {
  await keyOf(name);
  refusals[name] = [await refused("#compare-service", "#same"), await refused("#download", "#download-status")];
}
await keyOf("good");
await page.locator("#compare-service").click();
await page.waitForFunction(() => document.querySelector("#same").textContent.startsWith("The same bits"));
const [found] = await Promise.all([page.waitForEvent("download"), page.locator("#download").click()]);
const file = createHash("sha256").update(readFileSync(await found.path())).digest("hex");
await page.locator("#copy-link").click();
await page.locator("#link").waitFor();
const places = await page.evaluate(async () => ({
  address: location.href,
  link: document.querySelector("#link").value,
  document: document.documentElement.outerHTML,
  local: JSON.stringify({ ...localStorage }),
  session: JSON.stringify({ ...sessionStorage }),
  history: JSON.stringify(history.state),
  cookies: document.cookie,
  databases: JSON.stringify(await indexedDB.databases()),
  snippet: document.querySelector("#snippet").textContent,
}));
places.cookieJar = JSON.stringify(await context.cookies());
places.urls = sent.map((request) => request.url()).join("\n");
const carried = [];
for (const request of sent) if ((await request.allHeaders()).authorization === `Bearer ${input.keys.good}`) carried.push(new URL(request.url()).pathname);
const sha = await text("#sha-service");
await page.reload();
await page.waitForFunction(() => document.querySelector(".view")?.dataset.shown);
const report = {
  refusals,
  file,
  sha,
  errors,
  carried: [...new Set(carried)],
  leaks: Object.entries(places).flatMap(([place, content]) => (Object.values(input.keys).some((key) => content.includes(key)) ? [place] : [])),
  afterReload: await page.locator("#key").inputValue(),
};
await browser.close();
process.stdout.write(JSON.stringify(report));
