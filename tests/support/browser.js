// Uses the page of `fanin compare` as a reader does, and leaves what it saw in the title.
const until = async (what) => {
  while (!what()) await new Promise((done) => setTimeout(done, 20));
};
const lines = () => [...document.querySelectorAll(".plot")].map((plot) => plot.querySelectorAll(".mark-line path").length);
const visible = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
const cells = (column) => visible().map((row) => row.cells[column].dataset.value);
const seen = () => ({ lines: lines(), schemes: cells(0), caption: table.caption.textContent });
const choose = (control, change) => {
  change(control);
  control.dispatchEvent(new Event("change"));
};

(async () => {
  await until(() => document.querySelectorAll(".plot svg").length === 4 && lines()[0] > 1);
  const told = { start: seen(), labels: [...document.querySelectorAll(".plot")].map((plot) => plot.getAttribute("aria-label")) };
  const before = lines()[0];
  choose(boxes[0], (box) => (box.checked = false));
  await until(() => lines()[0] === before - 1);
  told.fewer = seen();
  choose(settings[0], (select) => (select.value = "conv"));
  told.conv = seen();
  for (const [column, heading] of headings.entries()) {
    const button = heading.querySelector("button");
    button.focus();
    const focused = document.activeElement === button;
    button.click();
    const once = cells(column);
    button.click();
    (told.sorted ??= []).push({ focused, once, twice: cells(column), sort: heading.getAttribute("aria-sort") });
  }
  document.title = JSON.stringify(told);
})();
