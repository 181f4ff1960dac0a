// The page: what is shown, and what the buttons and keys do.
import {askFrame, askJson, askMask} from "./ask.js";
import {Ids} from "./ids.js";
import {showPanel} from "./panel.js";
import {encodePng} from "./png.js";
import {Tools} from "./tools.js";
import {View} from "./view.js";

const at = id => document.getElementById(id);
const POLL = 400;  // milliseconds
let video, view, tools, ids, state = null, saved = null;
let frame = -1, wanted = 0, loading = false, playing = null, kind = "none", added = [1], present = [], seen = -1, edits = 0;
let queue = Promise.resolve();  // changes go to the program one after another
const unsent = new Map();       // masks that it has not taken yet, by frame

function fail(error) {
  at("error").hidden = !error;
  at("error").textContent = error ? error.message : "";
}

/** Do something after all changes before it; an error is shown and ends nothing. */
function change(action) {
  queue = queue.then(action).then(() => fail(null), fail).then(render);
  return queue;
}

function take(next) {
  state = next;
  if (state.run?.error) fail({message: `Propagation failed. ${state.run.error}`});
}

async function send() {
  for (const [t, data] of unsent) {
    try {
      take(await askJson("PUT", `/api/mask/${t}`, await encodePng(data, ids.width, ids.height)));
    } catch (error) {
      if (error.status) { unsent.delete(t); await load(frame); }  // it was refused: show what is there
      throw error;
    }
    if (unsent.get(t) === data) unsent.delete(t);
  }
}

function accept() {
  saved = null;
  edits++;
  kind = "given";
  present = ids.present();
  unsent.set(frame, ids.data.slice());
  change(send);
}

async function load(t) {
  const before = edits, from = frame;
  const [picture, mask] = await Promise.all([t === frame ? null : askFrame(t), askMask(t)]);
  // What came is older than what was drawn, or than the frame that is shown.
  if (tools.busy || edits !== before || frame !== from) return picture?.close();
  if (picture) view.showFrame(picture);
  frame = t;
  ids.data.set(unsent.get(t) ?? mask.ids);
  kind = unsent.has(t) ? "given" : mask.kind;
  present = ids.present();
  view.draw();
}

/** Show a frame; while one is loading only the last one that was asked for counts. */
async function show(t) {
  wanted = Math.max(0, Math.min(video.names.length - 1, t));
  at("slider").value = wanted;
  if (loading || tools.busy) return;
  tools.cancel();
  loading = true;
  tools.enabled = false;
  try {
    await queue;
    while (wanted !== frame) await load(wanted);
    tools.enabled = true;
  } catch (error) { fail(error); at("slider").value = wanted = frame; tools.enabled = frame >= 0; }
  loading = false;
  render();
}

function objects() {
  return [...new Set([...(state?.ids ?? []), ...present, ...added])].sort((a, b) => a - b);
}

function choose(id) {
  tools.object = id;
  if (tools.tool === "erase") tools.choose("brush");
  tools.sketch();
  render();
}

function render() {
  const points = tools?.points ?? [];
  showPanel({video, view, tools, state, frame, kind, points, list: tools ? objects() : [], choose,
    saved: saved && state.saved ? saved : null});
}

async function poll() {
  try {
    const before = seen;
    take(await askJson("GET", "/api/state"));
    seen = state.version;
    if (seen !== before && !tools.busy && !loading && !unsent.size && !tools.points.length) await load(frame);
    if (state.run?.running) setTimeout(poll, POLL);
  } catch (error) { fail(error); if (state.run?.running) setTimeout(poll, 5 * POLL); }
  render();
}

const undo = () => tools.cancel(false) || change(async () => {
  await send();
  const done = await askJson("POST", "/api/undo");
  take(done);
  wanted = at("slider").value = done.frame;
  await load(done.frame);
});
const propagate = () => change(async () => {
  await send();
  take(await askJson("POST", "/api/propagate", JSON.stringify({both: at("both").checked})));
  setTimeout(poll, POLL / 4);
});
const save = () => change(async () => {
  await send();
  const done = await askJson("POST", "/api/save");
  saved = {masks: done.masks, out: `${video.out}/masks/${video.name}`};
  take(done);
});
const add = () => {
  const next = Math.max(0, ...objects()) + 1;
  const id = next < 255 ? next : Array.from({length: 254}, (_, i) => i + 1).find(i => !objects().includes(i));
  added.push(id);
  choose(id);
};
const resize = size => { tools.size = at("size").value = Math.max(1, Math.min(+at("size").max, Math.round(size))); tools.sketch(); render(); };
function play() {
  if (playing) clearInterval(playing);
  playing = playing ? null : setInterval(() => loading || show((frame + 1) % video.names.length), 1000 / Math.min(video.fps, 12));
  at("play").textContent = playing ? "Pause" : "Play";
}

function key(event) {
  if (!view || tools.busy || event.altKey) return;
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], letter = event.key.toLowerCase();
  const on = event.target, plain = !event.ctrlKey && !event.metaKey;
  let used = true;
  if (!plain) used = letter === "z" && (undo(), true);
  else if (step && !(on.matches("input[type=range]"))) show(frame + step);
  else if (event.key === "Enter" && tools.points.length) tools.close();
  else if (event.key === "Escape") tools.cancel();
  else if (event.key === "Backspace") tools.cancel(false);
  else if (event.key === " " && !on.matches("button, input, summary")) play();
  else if (/^[1-9]$/.test(event.key)) { added.push(+event.key); choose(+event.key); }
  else if ({b: 1, e: 1, p: 1}[letter]) { tools.choose({b: "brush", e: "erase", p: "polygon"}[letter]); render(); }
  else if (event.key === "[" || event.key === "]") resize(tools.size * (event.key === "]" ? 1.2 : 1 / 1.2));
  else used = false;
  if (used) event.preventDefault();
}

async function start() {
  const about = await askJson("GET", "/api/about");
  video = about.video;
  at("upload").hidden = !!video;
  at("work").hidden = !video;
  at("most").textContent = `, at most ${Math.floor(about.mostUpload / 1e6)} MB`;
  at("file").onchange = () => upload(about.mostUpload);
  if (!video) return render();
  at("name").textContent = `${video.name}, ${video.names.length} frames, ${video.width} × ${video.height}`;
  at("out").textContent = video.out;
  at("slider").max = video.names.length - 1;
  ids = new Ids(video.width, video.height);
  view = new View(ids, about.palette);
  tools = new Tools(view, {changed: accept, sketched: () => frame < 0 || render()});
  at("size").max = Math.round(Math.max(video.width, video.height) / 3);
  state = await askJson("GET", "/api/state");
  tools.object = state.ids[0] ?? 1;
  if (state.ids.length) added = [];
  resize(Math.max(video.width, video.height) / 25);
  await show(state.given[0] ?? 0);
  poll();
}

async function upload(most) {
  const file = at("file").files[0];
  if (!file) return;
  if (file.size > most) return fail({message: `The file has ${(file.size / 1e6).toFixed(1)} MB, at most ${most / 1e6} are taken. Start with --max-upload MB.`});
  at("uploading").textContent = `Taking in ${file.name}…`;
  try { await askJson("PUT", "/api/video", file); fail(null); await start(); } catch (error) { fail(error); }
  at("uploading").textContent = "";
}

for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => { tools.choose(button.dataset.tool); render(); };
for (const [id, action] of Object.entries({undo, propagate, save, add, play, close: () => tools.close(), cancel: () => tools.cancel(),
  back: () => show(frame - 1), next: () => show(frame + 1), stop: () => change(async () => take(await askJson("POST", "/api/stop")))})) at(id).onclick = action;
at("slider").oninput = () => show(+at("slider").value);
at("size").oninput = () => resize(+at("size").value);
addEventListener("keydown", key);
addEventListener("resize", () => view && render());
addEventListener("beforeunload", event => { if (unsent.size) event.preventDefault(); });
start().catch(fail);
