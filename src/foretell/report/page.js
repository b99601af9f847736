// Draw every chart in the reader's colours, and again when those change.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  const axis = {
    labelColor: of("--ink"), titleColor: of("--ink"), gridColor: of("--line"),
    domainColor: of("--line"), tickColor: of("--line"),
  };
  return {
    background: "transparent", axis, view: { stroke: of("--line") },
    legend: { labelColor: of("--ink"), titleColor: of("--ink") },
    title: { color: of("--ink") }, header: { labelColor: of("--ink"), titleColor: of("--ink") },
    text: { color: of("--ink") },
  };
}
async function draw() {
  for (const script of document.querySelectorAll("script[data-for]")) {
    const target = document.getElementById(script.dataset.for);
    const chart = JSON.parse(script.textContent);
    chart.config = { ...chart.config, ...colours() };
    await vegaEmbed(target, chart, { actions: false, renderer: chart.usermeta?.renderer ?? "svg" });
    target.dataset.drawn = "yes";
  }
}
dark.addEventListener("change", draw);
draw();

// Sort a table by the column whose heading is clicked, first the highest number or the first text.
function valueOf(row, column) {
  const cell = row.cells[column];
  const number = Number(cell.dataset.value ?? (cell.textContent.replaceAll(",", "") || NaN));
  return Number.isNaN(number) ? cell.textContent : number;
}
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;  // numbers first
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
}
function sortBy(head, column) {
  const body = head.closest("table").tBodies[0];
  const rows = [...body.rows];
  const isNumber = rows.some((row) => typeof valueOf(row, column) === "number");
  const order = head.ariaSort ?? (isNumber ? "ascending" : "descending");
  const next = order === "ascending" ? "descending" : "ascending";
  const sign = next === "ascending" ? 1 : -1;
  rows.sort((a, b) => {
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    return typeof x === typeof y ? sign * compare(x, y) : compare(x, y);
  });
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", next);
  body.append(...rows);
}
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortBy(head, head.cellIndex));
  head.append(button);
}

// Copy the text beside a button.
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
