// The search. Results are files, then functions, then source lines, each in the order of the file
// list.

const MAX_RESULTS = 300;

class Search {
  /** `onChange` is called when the search text has changed. */
  constructor(data, fileList, onChange) {
    this.data = data;
    this.fileList = fileList;
    this.onChange = onChange;
    this.input = byId("search");
    this.results = [];
    this.chosen = -1;
    this.needle = null;
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.run(), 120);
    });
    byId("results").addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (link) this.choose([...byId("results").children].indexOf(link.parentElement));
    });
  }

  get isActive() {
    return this.needle !== null;
  }

  /** Searches for the text in the input. */
  run() {
    const text = this.input.value.trim();
    this.needle = text ? needleOf(text) : null;
    this.results = [];
    this.chosen = -1;
    let lines = 0;
    if (this.needle) lines = this.collect();
    byId("files").hidden = this.isActive;
    byId("results").replaceChildren(...this.results.map((result) => this.row(result)));
    byId("search-summary").textContent = this.isActive ? this.summary(lines) : "";
    this.onChange();
  }

  /** Fills the results, and returns the number of lines with a hit. */
  collect() {
    const has = (text) => this.needle.indexIn(text, 0) >= 0;
    const [functions, lines] = [[], []];
    let lineCount = 0;
    for (const number of this.fileList.order) {
      const entry = this.data.entries[number];
      const file = this.data.file(number);
      if (has(entry.name) || has(entry.file)) this.results.push({ number, line: 0, kind: "file", text: entry.name });
      for (const [first, name] of file.functions) {
        if (first && has(name)) functions.push({ number, line: first, kind: "function", text: name });
      }
      file.source.forEach((text, index) => {
        if (!has(text)) return;
        lineCount += 1;
        if (lines.length < MAX_RESULTS) lines.push({ number, line: index + 1, kind: "line", text });
      });
    }
    this.results.push(...functions, ...lines);
    this.results.length = Math.min(this.results.length, 2 * MAX_RESULTS);
    this.functionCount = functions.length;
    return lineCount;
  }

  summary(lines) {
    const listed = this.results.filter(({ kind }) => kind === "line").length;
    const part = listed < lines ? `, the first ${count(listed)} of them listed` : "";
    return `${plural(this.functionCount, "function")}, ${plural(lines, "line")}${part}`;
  }

  row({ number, line, kind, text }) {
    const entry = this.data.entries[number];
    const location = line ? `${entry.name}:${this.data.lineName(number, line)}` : entry.file;
    const shown = kind === "line" ? highlight(text.trim().slice(0, 200), "", this.needle) : highlight(plain(text), "", this.needle);
    return el("li", { class: kind }, el("a", { href: this.data.address(number, line) }, shown, el("small", {}, el("bdi", { dir: "ltr" }, plain(location)))));
  }

  /**
   * Chooses the result that is `by` places below the chosen one, and returns it; null if there are
   * none.
   */
  step(by) {
    if (this.results.length === 0) return null;
    this.choose((this.chosen + by + this.results.length) % this.results.length);
    return this.results[this.chosen];
  }

  choose(index) {
    this.chosen = index;
    [...byId("results").children].forEach((row, other) => row.firstElementChild.toggleAttribute("aria-current", other === index));
    byId("results").children[index]?.scrollIntoView({ block: "nearest" });
  }

  end() {
    this.input.value = "";
    this.run();
  }
}
