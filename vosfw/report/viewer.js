// Frames of videos: single ones, and whole videos under a slider.
function drawStills(section) {
  const stage = make("div");
  const show = index => stage.replaceChildren(...section.piles[index].cards.map(card => {
    const views = card.views.map(view => {
      const {figure, show} = picture(view);
      show(card.image, 0, card.title);
      return figure;
    });
    return make("article", {class: "card"}, make("h3", {}, named(card.color, card.title)), make("p", {class: "facts"}, card.facts), make("div", {class: "views"}, ...views));
  }));
  const several = section.piles.length > 1;
  show(0);
  return [several ? make("div", {class: "controls"}, chooser("run", section.piles.map(pile => pile.name), show).field) : null,
    legends(section.piles.flatMap(pile => pile.cards.flatMap(card => card.views))), stage];
}

function drawFilms(section) {
  const stage = make("div", {class: "film"});
  const show = index => stage.replaceChildren(...drawFilm(section.films[index]));
  const {field} = chooser("video", section.films.map(film => film.title), show);
  show(0);
  return [section.films.length > 1 ? make("div", {class: "controls"}, field) : make("h3", {}, section.films[0].title), stage];
}

function drawFilm(film) {
  const pictures = make("div", {class: "views"}), plots = make("div", {class: "plots"}), now = make("tbody"), head = make("tr");
  const slider = make("input", {type: "range", min: 0, max: film.shown.length - 1, value: film.start, class: "frames", oninput: () => show()});
  const name = make("output", {class: "name"});
  let track = film.tracks[0], views = [], charts = [], timer = null;

  function choose(index) {
    track = film.tracks[index];
    views = [...film.views, ...track.views].map(picture);
    pictures.replaceChildren(...views.map(view => view.figure));
    charts = track.plots.map(plot => lineChart({x: film.names.map((_, t) => t), lines: plot.lines, low: 0, high: plot.top,
      xLabel: "frame", yLabel: `${plot.title} in percent`, height: 170, digits: 0, pick: nearest}));
    plots.replaceChildren(...charts.map(chart => chart.element));
    head.replaceChildren(make("th", {scope: "col"}, "this frame"), ...track.plots.map(plot => make("th", {scope: "col", class: "number"}, plot.title)));
    show();
  }

  function nearest(t) {
    slider.value = film.shown.reduce((near, each, k) => Math.abs(each - t) < Math.abs(film.shown[near] - t) ? k : near, 0);
    show();
  }

  function show() {
    const k = +slider.value, t = film.shown[k];
    views.forEach(view => view.show(film.images[k], k, `${film.title} ${film.names[t]}`));
    charts.forEach(chart => chart.cursor(t));
    name.textContent = `frame ${film.names[t]} (${t + 1} of ${film.names.length})`;
    slider.setAttribute("aria-valuetext", name.textContent);
    const lines = track.plots.length ? track.plots[0].lines : [];
    now.replaceChildren(...lines.map((line, i) => make("tr", {},
      make("th", {scope: "row"}, named(line.color, line.name)),
      ...track.plots.map(plot => make("td", {class: "number"}, numeral(plot.lines[i].values[t], 1))))));
  }

  const play = make("button", {type: "button", onclick: () => {
    if (timer) { clearInterval(timer); timer = null; play.textContent = "play"; return; }
    play.textContent = "stop";
    timer = setInterval(() => {
      if (!play.isConnected) { clearInterval(timer); return; }
      slider.value = (+slider.value + 1) % film.shown.length;
      show();
    }, 120);
  }}, "play");
  const chosen = film.tracks.length > 1 ? chooser("run", film.tracks.map(each => each.name), choose).field : null;
  choose(0);
  return [chosen ? make("div", {class: "controls"}, chosen) : film.tracks[0].name ? make("p", {class: "facts"}, `run ${film.tracks[0].name}`) : null,
    make("div", {class: "player"}, play, labelled("frame", slider), name),
    film.note ? make("p", {class: "facts"}, film.note) : null,
    legends(film.tracks.flatMap(each => each.views)), pictures, plots,
    make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "scores in this frame"},
      make("table", {class: "now"}, make("thead", {}, head), now))].filter(Boolean);
}
