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
