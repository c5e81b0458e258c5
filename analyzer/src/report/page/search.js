// The search: files, functions, and source lines, those of the first file in the list first.

const MOST_RESULTS = 300;

class Search {
  constructor(book, list, changed) {
    this.book = book;
    this.list = list;
    this.changed = changed;
    this.box = byId("search");
    this.results = [];
    this.chosen = -1;
    this.needle = null;
    this.box.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.run(), 120);
    });
    byId("results").addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (link) this.mark([...byId("results").children].indexOf(link.parentElement));
    });
  }

  get isOn() {
    return this.needle !== null;
  }

  /** Looks for what stands in the box. */
  run() {
    const text = this.box.value.trim();
    this.needle = text ? needleOf(text) : null;
    this.results = [];
    this.chosen = -1;
    let lines = 0;
    if (this.needle) lines = this.collect();
    byId("files").hidden = this.isOn;
    byId("results").replaceChildren(...this.results.map((result) => this.row(result)));
    byId("found").textContent = this.isOn ? this.summary(lines) : "";
    this.changed();
  }

  collect() {
    const has = (text) => this.needle.in(text, 0) >= 0;
    const [functions, lines] = [[], []];
    let found = 0;
    for (const number of this.list.order) {
      const entry = this.book.index[number];
      const file = this.book.file(number);
      if (has(entry.name) || has(entry.file)) this.results.push({ number, line: 0, kind: "file", text: entry.name });
      for (const [first, name] of file.functions) {
        if (first && has(name)) functions.push({ number, line: first, kind: "function", text: name });
      }
      file.source.forEach((text, at) => {
        if (!has(text)) return;
        found += 1;
        if (lines.length < MOST_RESULTS) lines.push({ number, line: at + 1, kind: "line", text });
      });
    }
    this.results.push(...functions, ...lines);
    this.results.length = Math.min(this.results.length, 2 * MOST_RESULTS);
    this.functions = functions.length;
    return found;
  }

  summary(lines) {
    const listed = this.results.filter(({ kind }) => kind === "line").length;
    const part = listed < lines ? `, the first ${count(listed)} of them listed` : "";
    return `${plural(this.functions, "function")}, ${plural(lines, "line")}${part}`;
  }

  row({ number, line, kind, text }) {
    const entry = this.book.index[number];
    const where = line ? `${entry.name}:${this.book.nameOf(number, line)}` : entry.file;
    const shown = kind === "line" ? paint(text.trim().slice(0, 200), "", this.needle) : paint(plain(text), "", this.needle);
    return el("li", { class: kind }, el("a", { href: this.book.address(number, line) }, shown, el("small", {}, el("bdi", { dir: "ltr" }, plain(where)))));
  }

  /** The next result, or the one before. */
  step(by) {
    if (this.results.length === 0) return null;
    this.mark((this.chosen + by + this.results.length) % this.results.length);
    return this.results[this.chosen];
  }

  mark(at) {
    this.chosen = at;
    [...byId("results").children].forEach((row, other) => row.firstElementChild.toggleAttribute("aria-current", other === at));
    byId("results").children[at]?.scrollIntoView({ block: "nearest" });
  }

  end() {
    this.box.value = "";
    this.run();
  }
}
