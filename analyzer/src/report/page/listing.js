// A virtual list: only the blocks of rows near the visible part are in the DOM.

const ROW_PX = 20;
const BLOCK_ROWS = 50;

class Listing {
  /** Draws rows into a scrolling element. `draw` returns the element of a row. */
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

  /** Sets the number of rows, and the length of the longest in characters. */
  show(rows, longest) {
    this.rows = rows;
    this.body.style.height = `${rows * ROW_PX}px`;
    this.body.style.setProperty("--longest", longest);
    this.scroller.setAttribute("aria-rowcount", rows);
    this.redraw();
  }

  /** Draws the visible blocks again. */
  redraw() {
    this.blocks.forEach((block) => block.remove());
    this.blocks.clear();
    this.update();
  }

  /** Draws the blocks that became visible, and removes those that are no longer near. */
  update() {
    const { scrollTop, clientHeight } = this.scroller;
    const last = Math.ceil(this.rows / BLOCK_ROWS) - 1;
    const from = Math.max(Math.floor(scrollTop / ROW_PX / BLOCK_ROWS - 0.5), 0);
    const to = Math.min(Math.floor((scrollTop + clientHeight) / ROW_PX / BLOCK_ROWS + 0.5), last);
    for (const [index, block] of this.blocks) {
      if (index < from || index > to) {
        block.remove();
        this.blocks.delete(index);
      }
    }
    for (let index = from; index <= to; index++) this.drawBlock(index);
    this.listeners.forEach((listener) => listener());
  }

  drawBlock(index) {
    if (this.blocks.has(index)) return;
    const block = el("div", { class: "block" });
    block.style.top = `${index * BLOCK_ROWS * ROW_PX}px`;
    for (let row = index * BLOCK_ROWS; row < Math.min((index + 1) * BLOCK_ROWS, this.rows); row++) {
      block.append(this.draw(row));
    }
    this.blocks.set(index, block);
    this.body.append(block);
  }

  /** Draws all blocks, in order, for printing. */
  drawAll() {
    this.redraw();
    for (let index = 0; index * BLOCK_ROWS < this.rows; index++) this.drawBlock(index);
    this.body.append(...[...this.blocks.keys()].sort((a, b) => a - b).map((index) => this.blocks.get(index)));
  }

  /** The element of a row, if it is drawn. */
  element(row) {
    return this.blocks.get(Math.floor(row / BLOCK_ROWS))?.children[row % BLOCK_ROWS];
  }

  /** The number of rows that PageUp and PageDown move. */
  pageRows() {
    return Math.max(Math.floor(this.scroller.clientHeight / ROW_PX) - 1, 1);
  }

  /**
   * Scrolls a row into view: by as little as possible, or to the middle if it is more than a page
   * away.
   */
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
