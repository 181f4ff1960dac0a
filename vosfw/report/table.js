// Tables: sorted by the buttons in their heads, filtered by text and by values.
function drawTable(section) {
  const {columns, rows} = section;
  const text = cell => cell === null ? "" : typeof cell === "object" ? cell.text : String(cell);
  let sorted = null, falling = false, needle = "";
  const wanted = new Map();

  const best = columns.map((column, i) => {
    const values = rows.map(row => row[i]).filter(value => typeof value === "number");
    if (!column.best || Math.min(...values) === Math.max(...values)) return null;
    return column.best === "high" ? Math.max(...values) : Math.min(...values);
  });
  const body = make("tbody");
  const count = make("span", {class: "count", role: "status"});
  const heads = columns.map((column, i) => make("th", {scope: "col", "aria-sort": "none", class: column.digits === null ? "" : "number"},
    make("button", {type: "button", title: column.note || null, onclick: () => sort(i)}, column.name)));

  function sort(i) {
    falling = sorted === i ? !falling : columns[i].digits !== null;
    sorted = i;
    heads.forEach((head, k) => head.setAttribute("aria-sort", k === i ? (falling ? "descending" : "ascending") : "none"));
    fill();
  }

  function compare(a, b) {
    const [one, two] = [a[sorted], b[sorted]];
    // What is not known comes last, whichever way.
    if (one === null || two === null) return (one === null) - (two === null);
    const order = typeof one === "number" && typeof two === "number" ? one - two
      : text(one).localeCompare(text(two), "en", {numeric: true});
    return falling ? -order : order;
  }

  function fill() {
    let found = rows.filter(row => [...wanted].every(([i, value]) => text(row[i]) === value));
    const words = needle.toLowerCase().split(/\s+/).filter(Boolean);
    found = found.filter(row => {
      const whole = row.filter(cell => typeof cell !== "number").map(text).join(" ").toLowerCase();
      return words.every(word => whole.includes(word));
    });
    if (sorted !== null) found = [...found].sort(compare);
    body.replaceChildren(...found.map(row => make("tr", {}, ...row.map((cell, i) => drawn(cell, i)))));
    if (section.search || section.facets.length) count.textContent = `${found.length} of ${rows.length} rows`;
  }

  function drawn(cell, i) {
    const tag = i === 0 ? "th" : "td", scope = i === 0 ? {scope: "row"} : {};
    if (columns[i].digits !== null) {
      const bold = best[i] !== null && cell === best[i];
      const shown = typeof cell === "number" ? numeral(cell, columns[i].digits) : cell === null ? "–" : text(cell);
      return make(tag, {...scope, class: bold ? "number best" : "number"}, shown);
    }
    if (cell !== null && typeof cell === "object") return make(tag, scope, named(cell.color, cell.text));
    return make(tag, scope, cell === null ? "" : text(cell));
  }

  const controls = make("div", {class: "controls"});
  if (section.search) {
    const field = make("input", {type: "search", placeholder: "part of a name", oninput: () => { needle = field.value; fill(); }});
    controls.append(labelled("filter", field));
  }
  for (const i of section.facets) {
    const values = [...new Set(rows.map(row => text(row[i])))];
    const {field} = chooser(columns[i].name, ["all", ...values], k => {
      if (k) wanted.set(i, values[k - 1]); else wanted.delete(i);
      fill();
    });
    controls.append(field);
  }
  if (controls.childNodes.length) controls.append(count);
  fill();
  return [controls.childNodes.length ? controls : null,
    make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": section.title || "table"},
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body))];
}
