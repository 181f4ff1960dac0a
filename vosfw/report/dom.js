"use strict";
// Elements are made by script and text is set as text: nothing that comes from a run is read as markup.
const put = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
};
const make = (tag, attributes = {}, ...children) => put(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

let serial = 0;
const fresh = name => `${name}-${++serial}`;

// Line colours are those of Okabe and Ito; further lines repeat them with dashes.
const COLORS = 7, DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const colorOf = color => typeof color === "number" ? `var(--line-${color % COLORS})` : color;
const dashOf = color => typeof color === "number" ? DASHES[Math.floor(color / COLORS) % DASHES.length] : "";

const swatch = color => {
  const dash = dashOf(color);
  const line = draw("line", {x1: 1, x2: 21, y1: 6, y2: 6, "stroke-width": 4, "stroke-dasharray": dash || null});
  line.style.stroke = colorOf(color);
  return draw("svg", {class: "swatch", viewBox: "0 0 22 12", "aria-hidden": "true"}, line);
};

const named = (color, text) => make("span", {class: "named"}, swatch(color), make("span", {}, text));

const numeral = (value, digits) => value === null || value === undefined ? "–"
  : value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits}).replace("-", "−");

const labelled = (text, control) => {
  control.id = control.id || fresh("control");
  return make("span", {class: "field"}, make("label", {for: control.id}, text), control);
};

const chooser = (text, names, onchange) => {
  const select = make("select", {onchange: () => onchange(select.selectedIndex)},
    ...names.map((name, i) => make("option", {value: i}, name)));
  return {select, field: labelled(text, select)};
};

const LEGENDS = {
  error: [["false", "false positive"], ["missed", "false negative"], ["confused", "another object's"], ["right", "right"]],
  object_error: [["false", "false positive"], ["missed", "false negative"], ["right", "right"]],
  entropy: [["heat", ""]],
};
// What the colours of views mean, once for all of them.
const legends = views => {
  const kinds = [...new Map(views.filter(view => view.legend).map(view => [view.legend, view.title]))];
  return kinds.length ? make("p", {class: "legend"}, ...kinds.map(([kind, title]) => make("span", {}, make("b", {}, `${title}: `),
    ...LEGENDS[kind].map(([key, text]) => key === "heat" ? make("span", {}, "sure ", make("i", {class: "heat"}), " undecided")
      : make("span", {}, make("i", {class: `key ${key}`}), text))))) : null;
};

// A layer over a frame; grey and dark below where colours mean something else than objects.
const picture = view => {
  const base = make("img", {class: view.legend ? "base dim" : "base", alt: ""});
  const layer = make("img", {class: "layer", alt: ""});
  const missing = make("span", {class: "missing", hidden: true}, "not there");
  const figure = make("figure", {}, make("div", {class: "stack"}, base, layer, missing),
    make("figcaption", {}, view.title));
  const fits = () => figure.classList.toggle("coarse", base.naturalWidth > 0 && base.naturalWidth < 320);
  base.addEventListener("load", fits);
  const show = (image, at, about) => {
    base.src = image;
    base.alt = `${about}, ${view.title}`;
    const found = view.layers.length ? view.layers[at] : "";
    missing.hidden = found !== null;
    layer.hidden = !found;
    if (found) layer.src = found; else layer.removeAttribute("src");
  };
  return {figure, show};
};
