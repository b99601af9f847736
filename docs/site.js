// Names and keyboard access for parts of the theme that lack them.
document$.subscribe(() => requestAnimationFrame(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-code__nav").forEach((one, number) =>
    one.setAttribute("aria-label", `Code ${number + 1}`));
  document.querySelectorAll("pre > code, .md-typeset__scrollwrap").forEach(one => {
    one.tabIndex = 0;
  });
}));
