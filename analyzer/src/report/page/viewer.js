// The source viewer: which file and line are shown, and what keys and clicks do.

/**
 * A report's subclass has the methods
 *
 * - `drawLine(file, line)`: the cells of a line;
 * - `levelAt(file, line)` and `classAt(file, line)`: its step on the colour scale, and the class
 *   that has its colour;
 * - `isRelevant(file, line)`: whether the line is kept when only relevant lines are shown;
 * - `largestLine(file)` and `fileWithLargest()`: where the measure is largest;
 * - `showHead()`: writes the title and sums of the file;
 *
 * and the field `panel`, which shows the chosen line.
 */
class SourceViewer {
  constructor(data, measures, first) {
    this.data = data;
    this.measures = measures;
    this.measure = measures[first];
    this.file = null;
    this.line = 0;
    this.onlyRelevant = false;
    this.rows = [];
    this.historyDepth = 0;
    this.files = new FileList(data);
    this.listing = new Listing(byId("lines"), (row) => this.drawRow(row));
    this.minimap = new Minimap(byId("minimap"), this.listing, (row) => this.minimapRow(row));
    this.search = new Search(data, this.files, () => this.listing.redraw());
  }

  /**
   * The rows of the listing: a line number, or the negated number of lines that a fold leaves out.
   */
  rowsOf(file) {
    const isShown = (line) => {
      if (!this.onlyRelevant) return file.hasText || file.indexOf(line) !== undefined;
      return this.isRelevant(file, line) || line === this.line;
    };
    const rows = [];
    for (let line = 1; line <= file.last; line++) {
      if (isShown(line)) rows.push(line);
      else if (rows.at(-1) < 0) rows[rows.length - 1] -= 1;
      else rows.push(-1);
    }
    // A fold of one line would take as much space as the line.
    return rows.map((row, index) => (row === -1 && file.hasText ? (rows[index - 1] ?? 0) + 1 : row));
  }

  drawRow(row) {
    const { file } = this;
    const line = this.rows[row];
    if (line < 0) return this.drawFold(row, -line);
    const code = file.hasText ? highlight(file.text(line), file.runs(line), this.search.needle) : el("code", { class: "absent" }, this.functionNames(line));
    const isChosen = line === this.line;
    const classes = ["row", this.classAt(file, line), this.kindAt(file, line), isChosen ? "chosen" : ""];
    return el("div", { class: classes.filter((name) => name).join(" "), role: "row", id: `line-${this.data.lineName(file.number, line)}`, "aria-rowindex": row + 1, "aria-selected": isChosen, "data-line": line },
      ...this.drawLine(file, line), code);
  }

  /** One more class of a line; none by default. */
  kindAt() {
    return "";
  }

  cell(className, text) {
    return el("span", { class: `cell ${className}` }, text);
  }

  /**
   * The row for lines that are left out, with the function below it if that is another one than
   * above.
   */
  drawFold(row, lines) {
    const [above, below] = [this.rows[row - 1], this.rows[row + 1]].map((line) => this.file.functionsOf(line)[0]?.name);
    const other = below && below !== above ? ` · ${plain(below)}` : "";
    return el("div", { class: "row fold", role: "row", "aria-rowindex": row + 1 }, `⋮ ${plural(lines, "line")}${other}`);
  }

  /** Shown in place of a source line that the recording does not contain. */
  functionNames(line) {
    return this.file.functionsOf(line).map(({ name }) => plain(name)).join(", ");
  }

  minimapRow(row) {
    const line = this.rows[row];
    if (line < 0) return { level: 0, indent: 0, length: 0 };
    const text = this.file.text(line);
    const indent = text.length - text.trimStart().length;
    return { level: this.levelAt(this.file, line), className: this.classAt(this.file, line), indent, length: text.length - indent };
  }

  /** Draws the lines of the file. */
  showFile() {
    const { file } = this;
    this.rows = this.rowsOf(file);
    this.rowOfLine = new Map(this.rows.map((line, row) => [line, row]));
    const longest = file.source.reduce((length, text) => Math.max(length, text.length), 40);
    this.listing.show(this.rows.length, Math.min(longest, MAX_LINE_LENGTH + 40));
    this.minimap.show();
  }

  /** Writes the head of the file, its note, and the legend of the colour scale. */
  showTitle({ name, file, note }, sums, legend, legendTitle) {
    byId("name").replaceChildren(plain(name), el("small", {}, file === name ? "" : plain(file)));
    byId("sums").replaceChildren(...sums);
    byId("note").textContent = note ?? "";
    byId("note").hidden = !note;
    byId("legend").title = legendTitle;
    byId("legend").replaceChildren(...legend);
  }

  /** Goes to a line, or to the largest of a file, and adds an entry to the browser's history. */
  go(number, line) {
    const address = this.data.address(number, line);
    if (address === location.hash) return this.showAddress();
    this.historyDepth += 1;
    location.hash = address;
  }

  /** Goes back in the browser's history, but not to the page before this one. */
  goBack() {
    if (this.historyDepth === 0) return;
    this.historyDepth -= 1;
    history.back();
  }

  /** Shows what the address names. Defaults are the first file of the list and its largest line. */
  showAddress() {
    const { number = this.files.order[0], line = 0 } = this.data.resolve(location.hash);
    if (number === undefined) return;
    const isNew = this.file?.number !== number;
    if (isNew) {
      this.file = this.data.file(number);
      byId("lines").scrollTop = 0;
      this.files.choose(number);
    }
    this.choose(Math.min(line, this.file.last) || this.largestLine(this.file), isNew);
  }

  /** Chooses a line of the file. `isNew` is whether the file has just changed. */
  choose(line, isNew = false) {
    const before = this.rowOfLine?.get(this.line);
    this.line = line;
    if (isNew) this.showHead();
    if (isNew || !this.rowOfLine.has(line)) this.showFile();
    const row = this.rowOfLine.get(line);
    this.listing.element(before)?.classList.remove("chosen");
    this.listing.reveal(row);
    this.listing.element(row)?.classList.add("chosen");
    byId("lines").setAttribute("aria-activedescendant", `line-${this.data.lineName(this.file.number, line)}`);
    this.panel.show(this.file, line, this.measure);
  }

  /** Chooses a line and replaces the current entry of the browser's history. */
  moveTo(line) {
    history.replaceState(null, "", this.data.address(this.file.number, line));
    this.choose(line);
  }

  /** Moves by a number of rows, and past a fold. */
  step(by) {
    let row = this.rowOfLine.get(this.line) + by;
    row = Math.min(Math.max(row, 0), this.rows.length - 1);
    if (this.rows[row] < 0) row += Math.sign(by);
    if (this.rows[row] > 0) this.moveTo(this.rows[row]);
  }

  stepRelevant(by) {
    const relevant = this.file.line.filter((line) => this.isRelevant(this.file, line));
    const next = by > 0 ? relevant.find((line) => line > this.line) ?? relevant[0] : relevant.findLast((line) => line < this.line) ?? relevant.at(-1);
    if (next) this.moveTo(next);
  }

  stepHit(by) {
    const hit = this.search.step(by);
    if (hit) this.go(hit.number, hit.line);
  }

  /** Goes to the next search hit, or to the next relevant line if there is no search. */
  stepNext(by) {
    if (this.search.isActive) this.stepHit(by);
    else this.stepRelevant(by);
  }

  measureBy(name) {
    this.measure = this.measures[name];
    for (const button of byId("measures").children) button.setAttribute("aria-checked", button.dataset.measure === name);
    this.files.show(this.measure);
    if (!this.file) return;
    this.files.choose(this.file.number);
    this.showHead();
    this.showFile();
    this.choose(this.line);
  }

  toggleRelevant() {
    if (!this.file) return;
    this.onlyRelevant = !this.onlyRelevant;
    byId("only-relevant").setAttribute("aria-pressed", this.onlyRelevant);
    this.showFile();
    this.choose(this.line);
  }

  goLargest() {
    if (this.file) this.go(this.file.number, this.largestLine(this.file));
  }

  goLargestOfAll() {
    const number = this.fileWithLargest();
    if (number >= 0) this.go(number, this.largestLine(this.data.file(number)));
  }

  goFile(by) {
    const number = this.files.neighbour(this.file.number, by);
    if (number !== undefined) this.go(number);
  }

  /** The actions of keys. */
  keys() {
    const names = Object.keys(this.measures);
    return {
      ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), j: () => this.step(1), k: () => this.step(-1),
      PageDown: () => this.step(this.listing.pageRows()), PageUp: () => this.step(-this.listing.pageRows()),
      Home: () => this.step(-this.rows.length), End: () => this.step(this.rows.length),
      n: () => this.stepNext(1), p: () => this.stepNext(-1),
      h: () => this.goLargest(), H: () => this.goLargestOfAll(),
      ...Object.fromEntries(names.map((name, index) => [index + 1, () => this.measureBy(name)])),
      o: () => this.toggleRelevant(), d: () => theme.toggle(), "?": () => help.toggle(),
      Backspace: () => this.goBack(),
      "[": () => this.goFile(-1), "]": () => this.goFile(1),
      "/": () => byId("search").select(),
    };
  }

  onSearchKey(event) {
    if (event.key === "Escape") {
      this.search.end();
      byId("lines").focus();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      this.stepHit(event.shiftKey ? -1 : 1);
    } else if (event.key === "ArrowUp") {
      this.stepHit(-1);
    } else {
      return;
    }
    event.preventDefault();
  }

  onKey(event, keys) {
    if (byId("help").open && event.key !== "?") return;
    if (event.target === byId("search")) return this.onSearchKey(event);
    const isFind = event.key === "f" && (event.ctrlKey || event.metaKey);
    if (!isFind && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (event.key === "Escape" && this.search.isActive) this.search.end();
    const onControl = event.target.closest?.("a, button");
    if (onControl && (event.key === "Enter" || event.key === " ")) return;
    const action = isFind ? keys["/"] : keys[event.key];
    if (!action || !this.file) return;
    event.preventDefault();
    action();
  }

  start() {
    theme.start();
    help.start();
    this.files.show(this.measure);
    const measureByTarget = (event) => event.target.dataset.measure && this.measureBy(event.target.dataset.measure);
    byId("measures").addEventListener("click", measureByTarget);
    byId("columns").addEventListener("click", measureByTarget);
    byId("only-relevant").addEventListener("click", () => this.toggleRelevant());
    byId("largest").addEventListener("click", () => this.goLargest());
    byId("lines").addEventListener("click", (event) => {
      const row = event.target.closest("[data-line]");
      if (row && getSelection().isCollapsed) this.moveTo(Number(row.dataset.line));
    });
    byId("panel").addEventListener("click", (event) => { this.historyDepth += event.target.closest("a") ? 1 : 0; });
    addEventListener("hashchange", () => this.showAddress());
    const keys = this.keys();
    addEventListener("keydown", (event) => this.onKey(event, keys));
    this.showAddress();
    byId("lines").focus({ preventScroll: true });
  }
}
