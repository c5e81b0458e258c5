// Reading a book: which file and line are shown, and what keys and clicks do.

/**
 * What a report of its own adds: `drawLine`, the cells of a line; `levelAt` and `paintAt`, its step on the scale and the class
 * that has its colour; `isMarked`, whether it is left if only some are; `best` and `bestOfAll`, where the largest number is;
 * `showHead`, and `panel`, which shows the chosen line.
 */
class Reader {
  constructor(book, measures, first) {
    this.book = book;
    this.measures = measures;
    this.measure = measures[first];
    this.file = null;
    this.line = 0;
    this.onlyMarked = false;
    this.rows = [];
    this.went = 0;
    this.files = new FileList(book);
    this.listing = new Listing(byId("lines"), (row) => this.drawRow(row));
    this.map = new Minimap(byId("map"), this.listing, (row) => this.glance(row));
    this.search = new Search(book, this.files, () => this.listing.redraw());
  }

  /** Below a positive number is a line, a negative one tells how many lines are left out. */
  rowsOf(file) {
    const isSeen = (line) => {
      if (!this.onlyMarked) return file.hasText || file.at(line) !== undefined;
      return this.isMarked(file, line) || line === this.line;
    };
    const rows = [];
    for (let line = 1; line <= file.last; line++) {
      if (isSeen(line)) rows.push(line);
      else if (rows.at(-1) < 0) rows[rows.length - 1] -= 1;
      else rows.push(-1);
    }
    // To leave out a single line would save nothing.
    return rows.map((row, at) => (row === -1 && file.hasText ? (rows[at - 1] ?? 0) + 1 : row));
  }

  drawRow(row) {
    const { file } = this;
    const line = this.rows[row];
    if (line < 0) return this.drawFold(row, -line);
    const code = file.hasText ? paint(file.text(line), file.runs(line), this.search.needle) : el("code", { class: "absent" }, this.ownersOf(line));
    const chosen = line === this.line;
    const classes = ["row", this.paintAt(file, line), this.kindAt(file, line), chosen ? "chosen" : ""];
    return el("div", { class: classes.filter((name) => name).join(" "), role: "row", id: `line-${this.book.nameOf(file.number, line)}`, "aria-rowindex": row + 1, "aria-selected": chosen, "data-line": line },
      ...this.drawLine(file, line), code);
  }

  /** What else there is to a line, beside its numbers. */
  kindAt() {
    return "";
  }

  cell(name, text) {
    return el("span", { class: `cell ${name}` }, text);
  }

  /** What is left out, and the function that goes on below. */
  drawFold(row, lines) {
    const [above, below] = [this.rows[row - 1], this.rows[row + 1]].map((line) => this.file.functionsOf(line)[0]?.name);
    const other = below && below !== above ? ` · ${plain(below)}` : "";
    return el("div", { class: "row fold", role: "row", "aria-rowindex": row + 1 }, `⋮ ${plural(lines, "line")}${other}`);
  }

  /** What stands for a source line that no recording holds. */
  ownersOf(line) {
    return this.file.functionsOf(line).map(({ name }) => plain(name)).join(", ");
  }

  /** A row as the map sees it. */
  glance(row) {
    const line = this.rows[row];
    if (line < 0) return { level: 0, indent: 0, length: 0 };
    const text = this.file.text(line);
    const indent = text.length - text.trimStart().length;
    return { level: this.levelAt(this.file, line), paint: this.paintAt(this.file, line), indent, length: text.length - indent };
  }

  /** Shows a file as the switches say. */
  showFile() {
    const { file } = this;
    this.rows = this.rowsOf(file);
    this.places = new Map(this.rows.map((line, row) => [line, row]));
    const letters = file.source.reduce((most, text) => Math.max(most, text.length), 40);
    this.listing.show(this.rows.length, Math.min(letters, LONGEST_LINE + 40));
    this.map.show();
  }

  /** Shows above the lines what the file is, and which colours stand for what. */
  showTitle({ name, file, note }, sums, legend, title) {
    byId("name").replaceChildren(plain(name), el("small", {}, file === name ? "" : plain(file)));
    byId("sums").replaceChildren(...sums);
    byId("note").textContent = note ?? "";
    byId("note").hidden = !note;
    byId("legend").title = title;
    byId("legend").replaceChildren(...legend);
  }

  /** Goes to a line; its address is kept, so that there is a way back. */
  go(number, line) {
    const address = this.book.address(number, line);
    if (address === location.hash) return this.arrive();
    this.went += 1;
    location.hash = address;
  }

  /** Back to where a link or a key led away from, and not out of the page. */
  goBack() {
    if (this.went === 0) return;
    this.went -= 1;
    history.back();
  }

  /** Shows what the address names; without one, the first file of the list where its largest number is. */
  arrive() {
    const { number = this.files.order[0], line = 0 } = this.book.find(location.hash);
    if (number === undefined) return;
    const other = this.file?.number !== number;
    if (other) {
      this.file = this.book.file(number);
      byId("lines").scrollTop = 0;
      this.files.choose(number);
    }
    this.choose(Math.min(line, this.file.last) || this.best(this.file), other);
  }

  /** Chooses a line of the file. */
  choose(line, isNew = false) {
    const before = this.places?.get(this.line);
    this.line = line;
    if (isNew) this.showHead();
    if (isNew || !this.places.has(line)) this.showFile();
    const row = this.places.get(line);
    this.listing.element(before)?.classList.remove("chosen");
    this.listing.reveal(row);
    this.listing.element(row)?.classList.add("chosen");
    byId("lines").setAttribute("aria-activedescendant", `line-${this.book.nameOf(this.file.number, line)}`);
    this.panel.show(this.file, line, this.measure);
  }

  /** Chooses a line without leaving a trace in the history. */
  walk(line) {
    history.replaceState(null, "", this.book.address(this.file.number, line));
    this.choose(line);
  }

  step(by) {
    let row = this.places.get(this.line) + by;
    row = Math.min(Math.max(row, 0), this.rows.length - 1);
    if (this.rows[row] < 0) row += Math.sign(by);
    if (this.rows[row] > 0) this.walk(this.rows[row]);
  }

  stepMarked(by) {
    const marked = this.file.line.filter((line) => this.isMarked(this.file, line));
    const next = by > 0 ? marked.find((line) => line > this.line) ?? marked[0] : marked.findLast((line) => line < this.line) ?? marked.at(-1);
    if (next) this.walk(next);
  }

  stepFound(by) {
    const found = this.search.step(by);
    if (found) this.go(found.number, found.line);
  }

  /** To the next hit of a search, else to the next marked line. */
  stepOn(by) {
    if (this.search.isOn) this.stepFound(by);
    else this.stepMarked(by);
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

  toggleOnly() {
    if (!this.file) return;
    this.onlyMarked = !this.onlyMarked;
    byId("only").setAttribute("aria-pressed", this.onlyMarked);
    this.showFile();
    this.choose(this.line);
  }

  goBest() {
    if (this.file) this.go(this.file.number, this.best(this.file));
  }

  goBestOfAll() {
    const number = this.bestOfAll();
    if (number >= 0) this.go(number, this.best(this.book.file(number)));
  }

  goFile(by) {
    const number = this.files.beside(this.file.number, by);
    if (number !== undefined) this.go(number);
  }

  keys() {
    const names = Object.keys(this.measures);
    return {
      ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), j: () => this.step(1), k: () => this.step(-1),
      PageDown: () => this.step(this.listing.screen()), PageUp: () => this.step(-this.listing.screen()),
      Home: () => this.step(-this.rows.length), End: () => this.step(this.rows.length),
      n: () => this.stepOn(1), p: () => this.stepOn(-1),
      h: () => this.goBest(), H: () => this.goBestOfAll(),
      ...Object.fromEntries(names.map((name, at) => [at + 1, () => this.measureBy(name)])),
      o: () => this.toggleOnly(), d: () => theme.toggle(), "?": () => help.toggle(),
      Backspace: () => this.goBack(),
      "[": () => this.goFile(-1), "]": () => this.goFile(1),
      "/": () => byId("search").select(),
    };
  }

  pressedInSearch(event) {
    if (event.key === "Escape") {
      this.search.end();
      byId("lines").focus();
    } else if (event.key === "Enter" || event.key === "ArrowDown") {
      this.stepFound(event.shiftKey ? -1 : 1);
    } else if (event.key === "ArrowUp") {
      this.stepFound(-1);
    } else {
      return;
    }
    event.preventDefault();
  }

  pressed(event, keys) {
    if (byId("help").open && event.key !== "?") return;
    if (event.target === byId("search")) return this.pressedInSearch(event);
    const isFind = event.key === "f" && (event.ctrlKey || event.metaKey);
    if (!isFind && (event.ctrlKey || event.metaKey || event.altKey)) return;
    if (event.key === "Escape" && this.search.isOn) this.search.end();
    const onControl = event.target.closest?.("a, button");
    if (onControl && (event.key === "Enter" || event.key === " ")) return;
    const act = isFind ? keys["/"] : keys[event.key];
    if (!act || !this.file) return;
    event.preventDefault();
    act();
  }

  start() {
    theme.start();
    help.start();
    this.files.show(this.measure);
    const byMeasure = (event) => event.target.dataset.measure && this.measureBy(event.target.dataset.measure);
    byId("measures").addEventListener("click", byMeasure);
    byId("columns").addEventListener("click", byMeasure);
    byId("only").addEventListener("click", () => this.toggleOnly());
    byId("best").addEventListener("click", () => this.goBest());
    byId("lines").addEventListener("click", (event) => {
      const row = event.target.closest("[data-line]");
      if (row && getSelection().isCollapsed) this.walk(Number(row.dataset.line));
    });
    byId("panel").addEventListener("click", (event) => { this.went += event.target.closest("a") ? 1 : 0; });
    addEventListener("hashchange", () => this.arrive());
    const keys = this.keys();
    addEventListener("keydown", (event) => this.pressed(event, keys));
    this.arrive();
    byId("lines").focus({ preventScroll: true });
  }
}
