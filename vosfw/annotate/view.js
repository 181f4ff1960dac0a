// The frame, the masks over it, and the outline that is being drawn.
const TINT = 110, SVG = "http://www.w3.org/2000/svg";
const at = id => document.getElementById(id);

export class View {
  constructor(ids, palette) {
    this.ids = ids;
    // The colours of the PNGs, lighter: they must be seen over any video.
    this.colors = palette.map(rgb => rgb.map(v => Math.round((255 / Math.max(...rgb, 1)) ** .75 * v)));
    const packed = alpha => Uint32Array.from(this.colors, rgb => new Uint32Array(Uint8Array.of(...rgb, alpha).buffer)[0]);
    [this.edges, this.tints] = [packed(255), packed(TINT)];
    this.stage = at("stage");
    this.stage.style.setProperty("--ratio", ids.width / ids.height);
    this.stage.style.aspectRatio = `${ids.width} / ${ids.height}`;
    for (const name of ["frame", "masks"]) Object.assign(at(name), {width: ids.width, height: ids.height});
    this.frame = at("frame").getContext("2d");
    this.masks = at("masks").getContext("2d");
    this.sketch = at("sketch");
    this.sketch.setAttribute("viewBox", `0 0 ${ids.width} ${ids.height}`);
  }

  color(id) { return `rgb(${this.colors[id].join(" ")})`; }

  showFrame(picture) {
    this.frame.drawImage(picture, 0, 0);
    picture.close();
  }

  /** Tint every object, with full-colour outlines; only a box if one is given. */
  draw({left, top, right, bottom} = {left: 0, top: 0, right: this.ids.width, bottom: this.ids.height}) {
    if (right <= left || bottom <= top) return;
    const {data, width, height} = this.ids, image = this.masks.createImageData(right - left, bottom - top);
    const pixels = new Uint32Array(image.data.buffer);
    for (let y = top, o = 0; y < bottom; y++) {
      for (let x = left; x < right; x++, o++) {
        const i = y * width + x, id = data[i];
        if (!id) continue;
        const edge = (x > 0 && data[i - 1] !== id) || (x + 1 < width && data[i + 1] !== id)
                  || (y > 0 && data[i - width] !== id) || (y + 1 < height && data[i + width] !== id);
        pixels[o] = (edge ? this.edges : this.tints)[id];
      }
    }
    this.masks.putImageData(image, left, top);
  }

  /** Where a pointer is, in pixels of the video. */
  place(event) {
    const box = this.stage.getBoundingClientRect();
    return [(event.clientX - box.left) * this.ids.width / box.width,
            (event.clientY - box.top) * this.ids.height / box.height];
  }

  /** Pixels of the video per pixel of the page. */
  get scale() { return this.ids.width / this.stage.getBoundingClientRect().width; }

  /** The outline so far and the brush under the pointer. */
  drawSketch(points, pointer, radius, id) {
    const nodes = [], node = (tag, attributes) => {
      const e = document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
      nodes.push(e);
    };
    if (points.length) {
      const line = (pointer ? [...points, pointer] : points).map(p => p.join(",")).join(" ");
      node("polyline", {points: line, class: "under"});
      node("polyline", {points: line, stroke: this.color(id)});
      points.forEach(([cx, cy], i) => node("circle", {cx, cy, r: (i ? 4 : 7) * this.scale, fill: this.color(id), class: "corner"}));
    } else if (pointer && radius) {
      node("circle", {cx: pointer[0], cy: pointer[1], r: radius, class: "under"});
      node("circle", {cx: pointer[0], cy: pointer[1], r: radius, stroke: id ? this.color(id) : "white"});
    }
    this.sketch.replaceChildren(...nodes);
  }
}
