// A listing of any length: only the rows that are seen are elements, block by block.

const ROW_PX = 20;
const BLOCK_ROWS = 50;

class Listing {
  /** Rows are drawn into an element that scrolls; `draw` makes the element of a row. */
  constructor(scroller, draw) {
    this.scroller = scroller;
    this.draw = draw;
    this.rows = 0;
    this.blocks = new Map();
    this.body = scroller.appendChild(el("div", { class: "rows", role: "rowgroup" }));
    this.listeners = [];
    scroller.addEventListener("scroll", () => this.update(), { passive: true });
    new ResizeObserver(() => this.update()).observe(scroller);
    addEventListener("beforeprint", () => this.drawAll());
    addEventListener("afterprint", () => this.redraw());
  }

  /** Shows so many rows, the widest of which has so many letters. */
  show(rows, letters) {
    this.rows = rows;
    this.body.style.height = `${rows * ROW_PX}px`;
    this.body.style.setProperty("--letters", letters);
    this.scroller.setAttribute("aria-rowcount", rows);
    this.redraw();
  }

  /** Draws what is seen anew. */
  redraw() {
    this.blocks.forEach((block) => block.remove());
    this.blocks.clear();
    this.update();
  }

  update() {
    const { scrollTop, clientHeight } = this.scroller;
    const last = Math.ceil(this.rows / BLOCK_ROWS) - 1;
    const from = Math.max(Math.floor(scrollTop / ROW_PX / BLOCK_ROWS - 0.5), 0);
    const to = Math.min(Math.floor((scrollTop + clientHeight) / ROW_PX / BLOCK_ROWS + 0.5), last);
    for (const [at, block] of this.blocks) {
      if (at < from || at > to) {
        block.remove();
        this.blocks.delete(at);
      }
    }
    for (let at = from; at <= to; at++) this.drawBlock(at);
    this.listeners.forEach((listener) => listener());
  }

  drawBlock(at) {
    if (this.blocks.has(at)) return;
    const block = el("div", { class: "block" });
    block.style.top = `${at * BLOCK_ROWS * ROW_PX}px`;
    for (let row = at * BLOCK_ROWS; row < Math.min((at + 1) * BLOCK_ROWS, this.rows); row++) {
      block.append(this.draw(row));
    }
    this.blocks.set(at, block);
    this.body.append(block);
  }

  /** For paper, where nothing scrolls. */
  drawAll() {
    this.redraw();
    for (let at = 0; at * BLOCK_ROWS < this.rows; at++) this.drawBlock(at);
    this.body.append(...[...this.blocks.keys()].sort((a, b) => a - b).map((at) => this.blocks.get(at)));
  }

  /** The element of a row, if it is drawn. */
  element(row) {
    return this.blocks.get(Math.floor(row / BLOCK_ROWS))?.children[row % BLOCK_ROWS];
  }

  /** How many rows can be seen at once. */
  screen() {
    return Math.max(Math.floor(this.scroller.clientHeight / ROW_PX) - 1, 1);
  }

  /** Scrolls as little as is needed to see a row; to the middle where it is far. */
  reveal(row) {
    const { scrollTop, clientHeight } = this.scroller;
    const top = row * ROW_PX;
    const [above, below] = [top - 3 * ROW_PX, top + 4 * ROW_PX - clientHeight];
    if (top < scrollTop - clientHeight || top > scrollTop + 2 * clientHeight) {
      this.scroller.scrollTop = top - clientHeight / 2;
    } else if (above < scrollTop) {
      this.scroller.scrollTop = above;
    } else if (below > scrollTop) {
      this.scroller.scrollTop = below;
    }
    this.update();
  }
}
