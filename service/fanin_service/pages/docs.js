// Draws the description of the API. Where access is by key, the reader types one, which only this page's memory keeps.
"use strict";

const login = document.getElementById("login");
const key = document.getElementById("key");
const refusal = document.getElementById("refusal");

const show = (spec) => {
  login.hidden = true;
  const ui = SwaggerUIBundle({
    // Calls go to where this page is from, also behind a proxy that adds a prefix.
    spec: { ...spec, servers: [{ url: new URL(".", location.href).href.replace(/\/$/, "") }] },
    dom_id: "#calls",
    deepLinking: true,
    defaultModelsExpandDepth: -1,
    validatorUrl: null,
    onComplete: () => key.value && ui.preauthorizeApiKey("bearer", key.value),
  });
};

const load = async () => {
  const headers = key.value ? { Authorization: `Bearer ${key.value}` } : {};
  const answer = await fetch("openapi.json", { headers });
  const document = await answer.json();
  if (answer.ok) return show(document);
  login.hidden = false;
  if (key.value || ![401, 403].includes(answer.status)) refusal.textContent = `${document.title}: ${document.detail}`;
  key.focus();
};

const tell = (error) => {
  login.hidden = false;
  refusal.textContent = `The description cannot be read: ${error.message}`;
};

login.addEventListener("submit", (event) => {
  event.preventDefault();
  load().catch(tell);
});
load().catch(tell);
