// Charts are drawn at the width they have, so that letters keep their size on any screen.
function watched(holder, redraw) {
  let width = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth && holder.clientWidth !== width) redraw(width = holder.clientWidth);
  }).observe(holder);
}

function ticks(low, high, most) {
  const steps = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000, 10000].map(step => step * (high - low > 2 ? 1 : 0.01));
  const step = steps.find(size => (high - low) / size <= most) || (high - low) || 1;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

// options: x, lines, low, high, xLabel, yLabel, height, digits, pick; returns {element, cursor, hide}.
function lineChart(options) {
  const {x, lines} = options, height = options.height || 300;
  const holder = make("div", {class: "chart"}), hidden = new Set();
  let at = null, marker = null, place = null;

  function redraw(width) {
    const left = 46, right = width - 14, top = 12, bottom = height - 40;
    const first = x[0], last = x.length > 1 ? x[x.length - 1] : first + 1;
    place = value => left + (right - left) * (value - first) / (last - first);
    const level = value => bottom - (bottom - top) * (value - options.low) / (options.high - options.low);
    const image = draw("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${options.yLabel} over ${options.xLabel}`});
    for (const value of ticks(options.low, options.high, 6)) {
      image.append(draw("line", {class: "grid", x1: left, x2: right, y1: level(value), y2: level(value)}),
        draw("text", {x: left - 7, y: level(value) + 4, "text-anchor": "end"}, numeral(value, 0)));
    }
    for (const value of ticks(first, last, Math.max(2, Math.floor(width / 90)))) {
      image.append(draw("line", {class: "tick", x1: place(value), x2: place(value), y1: bottom, y2: bottom + 4}),
        draw("text", {x: place(value), y: bottom + 17, "text-anchor": "middle"}, numeral(value, options.digits)));
    }
    image.append(draw("line", {class: "axis", x1: left, x2: right, y1: bottom, y2: bottom}),
      draw("text", {x: (left + right) / 2, y: height - 5, "text-anchor": "middle", class: "label"}, options.xLabel),
      draw("text", {x: 0, y: 0, transform: `translate(11 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "label"}, options.yLabel));
    lines.forEach((line, i) => {
      if (hidden.has(i)) return;
      let path = "", pen = false;
      line.values.forEach((value, k) => {
        // A value alone between gaps is a short stroke.
        if (value !== null) path += `${pen ? "L" : "M"}${place(x[k]).toFixed(1)},${level(value).toFixed(1)}${pen ? "" : "h.5"}`;
        pen = value !== null;
      });
      const drawn = draw("path", {class: "line", d: path, "stroke-dasharray": dashOf(line.color) || null});
      drawn.style.stroke = colorOf(line.color);
      image.append(drawn);
    });
    marker = draw("line", {class: "cursor", y1: top, y2: bottom});
    image.append(marker);
    const picked = event => {
      const share = (event.clientX - image.getBoundingClientRect().left - left) / (right - left);
      const value = first + Math.min(1, Math.max(0, share)) * (last - first);
      options.pick(x.reduce((near, each, k) => Math.abs(each - value) < Math.abs(x[near] - value) ? k : near, 0));
    };
    image.addEventListener("pointerdown", picked);
    image.addEventListener("pointermove", event => { if (event.buttons) picked(event); });
    holder.replaceChildren(image);
    if (at !== null) cursor(at);
  }

  function cursor(k) {
    at = k;
    if (marker) { marker.setAttribute("x1", place(x[k])); marker.setAttribute("x2", place(x[k])); }
  }
  const toggle = i => { if (!hidden.delete(i)) hidden.add(i); if (holder.clientWidth) redraw(holder.clientWidth); };
  watched(holder, redraw);
  return {element: holder, cursor, toggle};
}

function drawCurves(section) {
  const known = section.lines.flatMap(line => line.values).filter(value => value !== null);
  const low = Math.max(0, Math.floor((Math.min(...known) - 2) / 10) * 10), high = Math.min(100, Math.ceil((Math.max(...known) + 2) / 10) * 10);
  const values = section.lines.map(() => make("td", {class: "number"}));
  const reading = make("th", {scope: "col", class: "number"});
  const slider = make("input", {type: "range", min: 0, max: section.x.length - 1, value: Math.round(section.x.length / 2), oninput: () => read()});
  const chart = lineChart({...section, low, high, xLabel: section.x_label, yLabel: section.y_label, digits: 2,
    pick: k => { slider.value = k; read(); }});
  function read() {
    const k = +slider.value;
    chart.cursor(k);
    reading.textContent = `at ${numeral(section.x[k], 2)}`;
    slider.setAttribute("aria-valuetext", numeral(section.x[k], 2));
    section.lines.forEach((line, i) => { values[i].textContent = numeral(line.values[k], 1); });
  }
  const rows = section.lines.map((line, i) => {
    const box = make("input", {type: "checkbox", checked: true, id: fresh("line"), onchange: () => chart.toggle(i)});
    return make("tr", {}, make("th", {scope: "row"}, make("span", {class: "named"}, box, make("label", {for: box.id}, named(line.color, line.name)))), values[i]);
  });
  read();
  return [chart.element, make("div", {class: "player"}, labelled("read values at", slider)),
    make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "values of the lines"},
      make("table", {class: "reading"}, make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "run"), reading)), make("tbody", {}, ...rows)))];
}

function drawBars(section) {
  const holder = make("div", {class: "chart"});
  const known = section.bars.flatMap(bar => [...bar.values, ...bar.lows, ...bar.highs, bar.reference]).filter(value => value !== null);
  const high = Math.min(100, Math.ceil(Math.max(...known) / 10) * 10), thick = section.bars.length > 3 ? 11 : 15;
  function redraw(width) {
    const left = Math.min(0.34 * width, 9 + 7.2 * Math.max(...section.groups.map(name => name.length))), right = width - 64;
    const step = section.bars.length * (thick + 2) + 12, bottom = 8 + step * section.groups.length;
    const place = value => left + (right - left) * value / high;
    const image = draw("svg", {viewBox: `0 0 ${width} ${bottom + 40}`, width, height: bottom + 40, role: "img", "aria-label": section.title});
    for (const value of ticks(0, high, Math.max(2, Math.floor((right - left) / 60)))) {
      image.append(draw("line", {class: "grid", x1: place(value), x2: place(value), y1: 4, y2: bottom}),
        draw("text", {x: place(value), y: bottom + 16, "text-anchor": "middle"}, numeral(value, 0)));
    }
    image.append(draw("text", {x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle", class: "label"}, section.x_label));
    section.groups.forEach((name, g) => {
      const top = 10 + g * step, letters = Math.max(4, Math.floor((left - 9) / 7.2));
      image.append(draw("text", {x: left - 7, y: top + (step - 12) / 2 + 3, "text-anchor": "end"},
        name.length > letters ? `${name.slice(0, letters - 1)}…` : name, draw("title", {}, name)));
      section.bars.forEach((bar, b) => {
        const value = bar.values[g], y = top + b * (thick + 2);
        if (value === null) return;
        const box = draw("rect", {x: left, y, width: Math.max(place(value) - left, 1), height: thick, rx: 2, class: "bar"});
        box.style.fill = colorOf(bar.color);
        const middle = y + thick / 2, loss = value - bar.reference;
        image.append(box);
        if (bar.lows[g] !== null) image.append(draw("path", {class: "whisker",
          d: `M${place(bar.lows[g])},${middle}H${place(bar.highs[g])}m0,-3v6M${place(bar.lows[g])},${middle - 3}v6`}));
        image.append(draw("line", {class: "reference", x1: place(bar.reference), x2: place(bar.reference), y1: y - 2, y2: y + thick + 2}),
          draw("text", {x: right + 6, y: middle + 4}, `${loss > 0 ? "+" : ""}${numeral(loss, 1)}`));
      });
    });
    holder.replaceChildren(image);
  }
  watched(holder, redraw);
  const keys = section.bars.map(bar => named(bar.color, `${bar.name} (clean ${numeral(bar.reference, 1)})`));
  return [make("div", {class: "legend"}, ...keys), holder];
}
