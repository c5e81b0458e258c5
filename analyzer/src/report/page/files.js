// The list of files: ordered by what lines are coloured by.

class FileList {
  constructor(book) {
    this.book = book;
    this.list = byId("files");
    this.rows = new Map([...this.list.children].map((row) => [Number(row.firstElementChild.dataset.file), row]));
    for (const [number, row] of this.rows) row.firstElementChild.href = book.address(number);
  }

  /** Orders the files, with a bar for each. */
  show(measure) {
    const size = (number) => measure.size(this.book.index[number]);
    this.order = [...this.rows.keys()].sort((a, b) => size(b) - size(a));
    const most = this.order.length ? size(this.order[0]) || 1 : 1;
    for (const number of this.order) {
      const entry = this.book.index[number];
      const row = this.rows.get(number);
      const bar = el("s");
      bar.style.width = `${(100 * size(number)) / most}%`;
      bar.className = measure.paint(entry);
      const way = entry.file === entry.name ? "" : plain(entry.file);
      row.firstElementChild.replaceChildren(el("b", {}, plain(entry.name)), el("em", {}, measure.told(entry)), el("small", {}, el("bdi", { dir: "ltr" }, way)), bar);
      this.list.append(row);
    }
  }

  choose(number) {
    for (const [other, row] of this.rows) row.firstElementChild.toggleAttribute("aria-current", other === number);
    this.rows.get(number)?.scrollIntoView({ block: "nearest" });
  }

  /** The file that stands so many places below another. */
  beside(number, step) {
    return this.order[this.order.indexOf(number) + step];
  }
}
