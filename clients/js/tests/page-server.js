/** Serves the built page as `fanin look` does, under the policy that docs/page.md names. */

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

const FOLDER = new URL("../../python/fanin/page/", import.meta.url);
export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; " +
  "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { html: "text/html; charset=utf-8", css: "text/css", js: "text/javascript", wasm: "application/wasm", json: "application/json" };

/** Return a server at 127.0.0.1, and its URL. `start` is the text of page/start.json, `answer` replies to other paths. */
export async function servePage(start, { root = "/", answer } = {}) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://127.0.0.1");
    const send = (status, type, body) => {
      response.writeHead(status, { "Content-Type": type, "Content-Security-Policy": POLICY, "Cache-Control": "no-store" });
      response.end(body);
    };
    const path = pathname.startsWith(root) ? pathname.slice(root.length) : null;
    if (path === "page/start.json") return send(200, TYPES.json, start);
    const name = path === "" ? "index.html" : path?.startsWith("page/") ? path.slice(5) : null;
    if (name && /^[a-z.]+$/.test(name)) {
      const body = await readFile(new URL(name, FOLDER)).catch(() => null);
      if (body) return send(200, TYPES[name.split(".").at(-1)], body);
    }
    if (answer && path !== null && (await answer(path, request, response))) return undefined;
    return send(404, "text/plain", "not here");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}${root}`, close: () => (server.closeAllConnections(), server.close()) };
}
