// Uses /docs as a reader does, KEY in hand, and leaves what it saw in the title.
(async () => {
  const told = { violations: [] };
  document.addEventListener("securitypolicyviolation", (event) => told.violations.push(event.blockedURI + event.violatedDirective));
  const until = async (what) => {
    while (!what()) await new Promise((done) => setTimeout(done, 20));
  };
  const type = (text) => {
    key.value = text;
    login.requestSubmit();
  };
  const operations = () => [...document.querySelectorAll(".opblock")];
  if (KEY) {
    await until(() => !login.hidden);
    told.before = operations().length;
    type("wrong");
    await until(() => refusal.textContent);
    told.refusal = refusal.textContent;
    type(KEY);
  }
  await until(() => operations().length);
  told.login = !login.hidden;
  told.operations = operations().map((each) => each.querySelector(".opblock-summary-method").textContent + " " + each.querySelector(".opblock-summary-path").dataset.path);
  const tried = operations().find((each) => each.id.endsWith("get_schemes"));
  tried.querySelector(".opblock-summary-control").click();
  await until(() => tried.querySelector(".try-out__btn"));
  tried.querySelector(".try-out__btn").click();
  await until(() => tried.querySelector(".execute"));
  tried.querySelector(".execute").click();
  await until(() => tried.querySelector(".live-responses-table .response-col_status"));
  told.status = tried.querySelector(".live-responses-table .response .response-col_status").textContent;
  told.fetched = performance.getEntriesByType("resource").map((entry) => new URL(entry.name).origin);
  document.title = JSON.stringify(told);
})();
