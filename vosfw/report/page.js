const DRAW = {
  table: drawTable, curves: drawCurves, bars: drawBars, stills: drawStills, films: drawFilms,
  notes: section => [make("ul", {class: "notes"}, ...section.lines.map(line => make("li", {}, line)))],
};
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const links = [];
  const main = document.getElementById("main");
  for (const section of data.sections) {
    const id = fresh("section");
    const parts = DRAW[section.kind](section).filter(Boolean);
    const intro = section.intro ? make("p", {class: "intro"}, section.intro) : null;
    main.append(make("section", {id, "aria-labelledby": `${id}-title`}, make("h2", {id: `${id}-title`}, section.title), intro, ...parts));
    links.push(make("a", {href: `#${id}`}, section.title));
  }
  document.getElementById("header").append(make("h1", {}, data.title), make("p", {class: "intro"}, data.intro),
    links.length > 2 ? make("nav", {"aria-label": "parts of this page"}, ...links) : "");
}
