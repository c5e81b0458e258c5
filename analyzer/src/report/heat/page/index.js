// The list of files: ordered by what lines are coloured by.

class FileList {
  constructor(recording) {
    this.recording = recording;
    this.list = byId("files");
    this.rows = new Map([...this.list.children].map((row) => [Number(row.firstElementChild.dataset.file), row]));
    for (const [number, row] of this.rows) row.firstElementChild.href = place(recording.index[number].file);
  }

  /** Orders the files, with a bar for each. */
  show(measure) {
    this.order = [...this.rows.keys()].sort((a, b) => measure.sum(this.recording.index[b]) - measure.sum(this.recording.index[a]));
    const most = measure.sum(this.recording.index[this.order[0]] ?? {}) || 1;
    for (const number of this.order) {
      const entry = this.recording.index[number];
      const row = this.rows.get(number);
      const [sum, link] = [measure.sum(entry), row.firstElementChild];
      const bar = el("s");
      bar.style.width = `${(100 * sum) / most}%`;
      bar.className = `h${levelOf(entry.hottest[measure.at], measure.hottest)}`;
      const way = entry.file === entry.name ? "" : plain(entry.file);
      link.replaceChildren(el("b", {}, plain(entry.name)), el("em", {}, measure.text(sum)), el("small", {}, el("bdi", { dir: "ltr" }, way)), bar);
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

/** The address of a file, or of a line in it. */
const place = (file, line) => `#${encodeURIComponent(file)}${line ? `:${line}` : ""}`;

/** What an address names. */
const placeAt = (address) => {
  const [, name, line] = address.match(/^#?(.*?)(?::(\d+))?$/s);
  try {
    return { name: decodeURIComponent(name), line: Number(line) || 0 };
  } catch {
    return { name: "", line: 0 };
  }
};
