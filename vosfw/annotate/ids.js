// Object ids of a frame, one byte per pixel, drawn with hard edges: a pixel is covered if its centre is.
export class Ids {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height);
  }

  /** The path of a disk from one point to another; returns the box that may have changed. */
  stroke([x0, y0], [x1, y1], radius, id) {
    const box = this.box(Math.min(x0, x1) - radius, Math.min(y0, y1) - radius,
                         Math.max(x0, x1) + radius, Math.max(y0, y1) + radius);
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        const px = x + .5 - x0, py = y + .5 - y0;
        const along = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
        const ex = px - along * dx, ey = py - along * dy;
        if (ex * ex + ey * ey <= radius * radius) this.data[y * this.width + x] = id;
      }
    }
    const x = Math.floor(x1), y = Math.floor(y1);  // however small the disk
    if (x >= 0 && y >= 0 && x < this.width && y < this.height) this.data[y * this.width + x] = id;
    return box;
  }

  /** The inside of a polygon by the even-odd rule. */
  fill(points, id) {
    const box = this.box(Math.min(...points.map(p => p[0])), Math.min(...points.map(p => p[1])),
                         Math.max(...points.map(p => p[0])), Math.max(...points.map(p => p[1])));
    for (let y = box.top; y < box.bottom; y++) {
      const cuts = [], middle = y + .5;
      points.forEach(([x0, y0], i) => {
        const [x1, y1] = points[(i + 1) % points.length];
        if ((y0 <= middle) !== (y1 <= middle)) cuts.push(x0 + (middle - y0) * (x1 - x0) / (y1 - y0));
      });
      cuts.sort((a, b) => a - b);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        const first = Math.max(0, Math.ceil(cuts[i] - .5)), last = Math.min(this.width, Math.ceil(cuts[i + 1] - .5));
        if (first < last) this.data.fill(id, y * this.width + first, y * this.width + last);
      }
    }
    return box;
  }

  /** Whole pixels that a rectangle touches, and one more for outlines around them. */
  box(left, top, right, bottom) {
    return {left: Math.max(0, Math.floor(left) - 1), top: Math.max(0, Math.floor(top) - 1),
            right: Math.min(this.width, Math.ceil(right) + 1), bottom: Math.min(this.height, Math.ceil(bottom) + 1)};
  }

  /** Objects that are shown; 255 is unlabelled. */
  present() {
    const seen = new Uint8Array(256);
    for (let i = 0; i < this.data.length; i++) seen[this.data[i]] = 1;
    return [...seen.keys()].filter(id => seen[id] && id > 0 && id < 255);
  }
}
