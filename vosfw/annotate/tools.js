// Brush, eraser and outline, by mouse, pen or finger.
const CLOSE = 12;  // page pixels around the first point

/** Calls `changed` after a stroke or a closed outline, `sketched` when an outline got or lost a point. */
export class Tools {
  constructor(view, {changed, sketched}) {
    Object.assign(this, {view, changed, sketched});
    this.tool = "brush";
    this.object = 1;
    this.size = 20;
    this.points = [];
    this.pointer = null;
    this.told = 0;
    this.last = null;  // where the stroke is
    this.enabled = false;
    const stage = view.stage;
    stage.addEventListener("pointerdown", e => this.down(e));
    stage.addEventListener("pointermove", e => this.move(e));
    stage.addEventListener("pointerup", () => this.up());
    stage.addEventListener("pointercancel", () => this.up());
    stage.addEventListener("pointerleave", () => { this.pointer = null; this.sketch(); });
    stage.addEventListener("dblclick", () => this.close());
  }

  get busy() { return this.last !== null; }
  get radius() { return this.size / 2; }

  choose(tool) {
    if (tool !== "polygon") this.points = [];
    this.tool = tool;
    this.sketch();
  }

  down(event) {
    if (!event.isPrimary || !this.enabled || event.button > 0 && event.button !== 5) return;
    const place = this.pointer = this.view.place(event);
    if (this.tool === "polygon" && event.button !== 5) {
      const [first] = this.points;
      const near = first && Math.hypot(first[0] - place[0], first[1] - place[1]) <= CLOSE * this.view.scale;
      if (near && this.points.length > 2) return this.close();
      this.points.push(place);
      return this.sketch();
    }
    this.view.stage.setPointerCapture(event.pointerId);
    this.id = this.tool === "erase" || event.button === 5 ? 0 : this.object;  // 5: a pen's eraser
    this.last = place;
    this.view.draw(this.view.ids.stroke(place, place, this.radius, this.id));
  }

  move(event) {
    if (!event.isPrimary) return;
    this.pointer = this.view.place(event);
    if (this.busy) {
      for (const part of event.getCoalescedEvents?.() ?? [event]) {
        const place = this.view.place(part);
        this.view.draw(this.view.ids.stroke(this.last, place, this.radius, this.id));
        this.last = place;
      }
    }
    this.sketch();
  }

  up() {
    if (!this.busy) return;
    this.last = null;
    this.changed();
  }

  /** End the outline; fewer than three points are none. */
  close() {
    if (this.points.length < 3) return false;
    this.view.draw(this.view.ids.fill(this.points, this.object));
    this.points = [];
    this.changed();
    this.sketch();
    return true;
  }

  /** Give the outline up, or its last point only; false if there is none. */
  cancel(all = true) {
    if (!this.points.length) return false;
    this.points = all ? [] : this.points.slice(0, -1);
    this.sketch();
    return true;
  }

  sketch() {
    const radius = this.enabled && this.tool !== "polygon" ? this.radius : 0;
    this.view.drawSketch(this.points, this.pointer, radius, this.tool === "erase" ? 0 : this.object);
    if (this.told !== this.points.length) this.sketched();
    this.told = this.points.length;
  }
}
