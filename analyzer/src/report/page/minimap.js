// The whole listing at a glance, and which part of it is seen. A click goes there.

class Minimap {
  /** `row` tells of a row `{ level, paint, indent, length }`: a step of the scale, and the class that has its colour. */
  constructor(canvas, listing, row) {
    this.canvas = canvas;
    this.listing = listing;
    this.row = row;
    listing.listeners.push(() => this.follow());
    theme.listeners.push(() => this.show());
    new ResizeObserver(() => this.show()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.go(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.go(event));
    canvas.addEventListener("wheel", (event) => { listing.scroller.scrollTop += event.deltaY; }, { passive: true });
  }

  /** Draws all rows: the strongest of those that share a dot is the one that is seen. */
  show() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale];
    this.row_px = Math.min(3, height / Math.max(this.listing.rows, 1));
    const colours = new Map();
    const picture = new OffscreenCanvas(Math.max(width * scale, 1), Math.max(height * scale, 1));
    const brush = picture.getContext("2d");
    brush.scale(scale, scale);
    const thick = Math.max(this.row_px * 0.8, 1);
    const painted = [];
    brush.fillStyle = colour("--faint");
    for (let row = 0; row < this.listing.rows; row++) {
      const { level, paint, indent, length } = this.row(row);
      const y = row * this.row_px;
      if (level > 0) painted.push([level, y, paint]);
      else if (length > 0) brush.fillRect(8 + indent / 2, y, Math.min(length / 2, width - 12), thick);
    }
    painted.sort((a, b) => a[0] - b[0]);
    for (const [level, y, paint] of painted) {
      if (!colours.has(paint)) colours.set(paint, colour("--heat", paint));
      brush.fillStyle = colours.get(paint);
      brush.fillRect(4, y, width - 8, Math.max(thick, level > LEVELS / 2 ? 2 : 1));
    }
    this.picture = picture;
    [this.window, this.edge] = [colour("--window"), colour("--window-edge")];
    this.follow();
  }

  /** Draws where the seen part is. */
  follow() {
    if (!this.picture || !this.canvas.width) return;
    const { scrollTop, clientHeight } = this.listing.scroller;
    const brush = this.canvas.getContext("2d");
    const scale = devicePixelRatio || 1;
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.clearRect(0, 0, this.canvas.width, this.canvas.height);
    brush.drawImage(this.picture, 0, 0);
    brush.scale(scale, scale);
    const [top, tall] = [(scrollTop / ROW_PX) * this.row_px, Math.max((clientHeight / ROW_PX) * this.row_px, 6)];
    brush.fillStyle = this.window;
    brush.fillRect(0, top, this.canvas.clientWidth, tall);
    brush.strokeStyle = this.edge;
    brush.strokeRect(0.5, Math.round(top) + 0.5, this.canvas.clientWidth - 1, tall - 1);
  }

  go(event) {
    const { clientHeight } = this.listing.scroller;
    this.listing.scroller.scrollTop = (event.offsetY / this.row_px) * ROW_PX - clientHeight / 2;
  }
}
