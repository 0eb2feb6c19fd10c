// Shows one setting of the study at a time: plots, and the rows of the table.
const settings = ["network", "activation", "depth"].map((name) => document.getElementById(name));
const boxes = [...document.querySelectorAll("input[name=shown]")];
const table = document.getElementById("schemes");
const headings = [...table.querySelectorAll("thead th")];
const rows = [...table.tBodies[0].rows];

function show(views) {
  const shown = boxes.filter((box) => box.checked).map((box) => box.value);
  for (const view of views) {
    for (const { id, value } of settings) view.signal(id, id === "depth" ? Number(value) : value);
    view.signal("shown", shown).runAsync();
  }
  for (const row of rows) {
    const here = settings.every(({ id, value }) => row.dataset[id] === value);
    row.hidden = !here || !shown.includes(row.cells[0].textContent);
  }
  table.caption.textContent = settings.map((setting) => setting.selectedOptions[0].text).join(", ") + " hidden layers";
}

function sort(heading) {
  const column = headings.indexOf(heading);
  const was = heading.getAttribute("aria-sort");
  const up = was ? was === "descending" : column === 0;
  for (const other of headings) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value;
  const order = (one, other) => {
    if (value(one) === "" || value(other) === "") return (value(one) === "") - (value(other) === "");
    const less = column === 0 ? value(one).localeCompare(value(other)) : value(one) - value(other);
    return up ? less : -less;
  };
  table.tBodies[0].append(...rows.sort(order));
}

for (const heading of headings) heading.firstElementChild.addEventListener("click", () => sort(heading));
const embedded = Object.entries(specs).map(([name, spec]) =>
  vegaEmbed(`#plot-${name}`, spec, { renderer: "svg", actions: false }),
);
Promise.all(embedded).then((results) => {
  const views = results.map((result) => result.view);
  for (const control of [...settings, ...boxes]) control.addEventListener("change", () => show(views));
  show(views);
});
