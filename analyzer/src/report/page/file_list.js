// The list of files, sorted by the chosen measure.

class FileList {
  constructor(data) {
    this.data = data;
    this.list = byId("files");
    this.rows = new Map([...this.list.children].map((row) => [Number(row.firstElementChild.dataset.file), row]));
    for (const [number, row] of this.rows) row.firstElementChild.href = data.address(number);
  }

  /** Sorts the files by a measure, and draws a bar for each. */
  show(measure) {
    const size = (number) => measure.size(this.data.entries[number]);
    this.order = [...this.rows.keys()].sort((a, b) => size(b) - size(a));
    const largest = this.order.length ? size(this.order[0]) || 1 : 1;
    for (const number of this.order) {
      const entry = this.data.entries[number];
      const row = this.rows.get(number);
      const bar = el("s");
      bar.style.width = `${(100 * size(number)) / largest}%`;
      bar.className = measure.className(entry);
      const path = entry.file === entry.name ? "" : plain(entry.file);
      row.firstElementChild.replaceChildren(el("b", {}, plain(entry.name)), el("em", {}, measure.label(entry)), el("small", {}, el("bdi", { dir: "ltr" }, path)), bar);
      this.list.append(row);
    }
  }

  choose(number) {
    for (const [other, row] of this.rows) row.firstElementChild.toggleAttribute("aria-current", other === number);
    this.rows.get(number)?.scrollIntoView({ block: "nearest" });
  }

  /**
   * The number of the file that is `step` places below another in the list; undefined past its
   * ends.
   */
  neighbour(number, step) {
    return this.order[this.order.indexOf(number) + step];
  }
}
