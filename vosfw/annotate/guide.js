// One line that says what to do next.
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

export function guide({video, state, points, tool, object, drawn, frame, saved}) {
  if (!video) return "Choose a video file to start.";
  const run = state.run;
  if (run?.running) return "The masks are being propagated. Step through the frames to see what is there already.";
  if (points.length) {
    if (points.length < 3) return `Outline of object ${object}: click on along its edge (${plural(points.length, "point")}).`;
    return `Outline of object ${object}: click on, or close it with Enter, a click on the first point, or the button.`;
  }
  if (!state.given.length && !state.results.length) {
    const how = {polygon: "click along the edge of", brush: "paint", erase: "choose Paint or Outline, then mark"}[tool];
    return `Step 1: ${how} object ${object}, in this frame or in another one that shows it well.`;
  }
  if (state.pending && !state.ids.length) return "No object is marked any more. Mark one, then propagate.";
  if (state.pending && !state.results.length) {
    return `Step 2: ${plural(state.ids.length, "object")} marked. Add another, or press Propagate to carry the masks to all frames.`;
  }
  if (state.pending) {
    const where = state.given.includes(frame) ? "This frame was changed." : "A frame was changed.";
    return `${where} Correct more, or press Propagate so that the other frames follow.`;
  }
  if (saved) return `Saved: ${plural(saved.masks, "mask")} in ${saved.out}. Go on correcting, or end with Ctrl-C in the terminal.`;
  if (state.saved) return "All masks are saved. Go on correcting, or end with Ctrl-C in the terminal.";
  return "Step 3: look through the frames with the slider. Correct what is wrong and propagate again, or press Save.";
}

export function progress(run) {
  if (!run) return "";
  if (run.running) {
    const left = run.rate > 0 && run.done ? `, about ${Math.ceil((run.total - run.done) / run.rate)} s left` : "";
    return `${run.done} of ${run.total} frames, ${run.rate.toFixed(1)} frames/s${left}`;
  }
  if (run.stopped) return `Stopped after ${run.done} of ${run.total} frames; what was done is kept.`;
  return "";
}
