// The minimap: all rows of the listing on a canvas, and a frame around the visible ones. A click
// scrolls there.

class Minimap {
  /**
   * `describe` returns `{ level, className, indent, length }` for a row: its step on the colour
   * scale, the class that has its colour, and the indentation and length of its text in characters.
   */
  constructor(canvas, listing, describe) {
    this.canvas = canvas;
    this.listing = listing;
    this.describe = describe;
    listing.listeners.push(() => this.drawFrame());
    theme.listeners.push(() => this.show());
    new ResizeObserver(() => this.show()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.scrollTo(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.scrollTo(event));
    canvas.addEventListener("wheel", (event) => { listing.scroller.scrollTop += event.deltaY; }, { passive: true });
  }

  /** Draws all rows. Where several share a pixel, the one with the highest level is visible. */
  show() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale];
    this.rowPx = Math.min(3, height / Math.max(this.listing.rows, 1));
    const colours = new Map();
    const picture = new OffscreenCanvas(Math.max(width * scale, 1), Math.max(height * scale, 1));
    const context = picture.getContext("2d");
    context.scale(scale, scale);
    const thickness = Math.max(this.rowPx * 0.8, 1);
    const coloured = [];
    context.fillStyle = colour("--faint");
    for (let row = 0; row < this.listing.rows; row++) {
      const { level, className, indent, length } = this.describe(row);
      const y = row * this.rowPx;
      if (level > 0) coloured.push([level, y, className]);
      else if (length > 0) context.fillRect(8 + indent / 2, y, Math.min(length / 2, width - 12), thickness);
    }
    coloured.sort((a, b) => a[0] - b[0]);
    for (const [level, y, className] of coloured) {
      if (!colours.has(className)) colours.set(className, colour("--heat", className));
      context.fillStyle = colours.get(className);
      context.fillRect(4, y, width - 8, Math.max(thickness, level > LEVELS / 2 ? 2 : 1));
    }
    this.picture = picture;
    [this.frameFill, this.frameEdge] = [colour("--window"), colour("--window-edge")];
    this.drawFrame();
  }

  /** Draws the picture of the rows, and the frame around the visible ones. */
  drawFrame() {
    if (!this.picture || !this.canvas.width) return;
    const { scrollTop, clientHeight } = this.listing.scroller;
    const context = this.canvas.getContext("2d");
    const scale = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.picture, 0, 0);
    context.scale(scale, scale);
    const [top, height] = [(scrollTop / ROW_PX) * this.rowPx, Math.max((clientHeight / ROW_PX) * this.rowPx, 6)];
    context.fillStyle = this.frameFill;
    context.fillRect(0, top, this.canvas.clientWidth, height);
    context.strokeStyle = this.frameEdge;
    context.strokeRect(0.5, Math.round(top) + 0.5, this.canvas.clientWidth - 1, height - 1);
  }

  scrollTo(event) {
    const { clientHeight } = this.listing.scroller;
    this.listing.scroller.scrollTop = (event.offsetY / this.rowPx) * ROW_PX - clientHeight / 2;
  }
}
