// The state of buttons, objects, marks and texts.
import {guide, progress} from "./guide.js";

const at = id => document.getElementById(id);
const KINDS = {given: "drawn", result: "propagated", none: "no mask yet"};

export function showPanel({video, view, tools, state, frame, kind, points, list, choose, saved}) {
  const tool = tools?.tool, object = tools?.object;
  at("guide").textContent = guide({video, state, points, tool, object, frame, saved});
  if (!state) return;
  const running = !!state.run?.running;
  for (const b of document.querySelectorAll("[data-tool]")) b.setAttribute("aria-pressed", b.dataset.tool === tool);
  at("sizes").hidden = tool === "polygon";
  at("diameter").textContent = `${tools.size} px`;
  at("outline").hidden = tool !== "polygon";
  at("cancel").disabled = !points.length;
  at("close").disabled = points.length < 3;
  showObjects(list, object, view, choose);
  at("add").disabled = list.length >= 254;
  at("where").textContent = `frame ${frame + 1} of ${video.names.length} (${video.names[frame]}): ${KINDS[kind]}`;
  at("undo").disabled = !state.undo && !points.length;
  at("propagate").disabled = running || !state.ids.length;
  at("save").disabled = running || !(state.given.length || state.results.length);
  at("propagate").className = state.pending && !at("propagate").disabled ? "go" : "";
  at("save").className = !state.pending && !state.saved && !at("save").disabled ? "go" : "";
  at("stop").hidden = at("progress").hidden = !running;
  at("progress").value = state.run ? state.run.done / state.run.total : 0;
  at("told").textContent = progress(state.run);
  showMarks(state, video.names.length);
}

function showObjects(list, object, view, choose) {
  const shown = JSON.stringify([list, object]), place = at("objects");
  if (place.dataset.shown === shown) return;
  const focused = document.activeElement?.dataset?.id;
  place.dataset.shown = shown;
  place.replaceChildren(...list.map(id => {
    const button = document.createElement("button"), color = document.createElement("span");
    Object.assign(button, {type: "button", onclick: () => choose(id)});
    button.dataset.id = id;
    button.setAttribute("aria-pressed", id === object);
    color.className = "key";
    color.style.background = view.color(id);
    button.append(color, `Object ${id}`);
    return button;
  }));
  if (focused) place.querySelector(`[data-id="${focused}"]`)?.focus();
}

/** Which frames have masks, over the slider. */
function showMarks(state, count) {
  const marks = at("marks"), width = marks.width = Math.max(1, marks.clientWidth), each = width / count;
  const pen = marks.getContext("2d"), style = getComputedStyle(document.documentElement);
  for (const [frames, name, least] of [[state.results, "--result", 1], [state.given, "--given", 3]]) {
    pen.fillStyle = style.getPropertyValue(name);
    for (const t of frames) pen.fillRect(Math.floor(t * each), 0, Math.max(least, Math.ceil(each)), marks.height);
  }
}
