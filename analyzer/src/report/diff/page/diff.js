// Both sides: what changed, and what a line's cells say.

class DiffMap extends Reader {
  constructor(comparison) {
    super(comparison, MEASURES, "hits");
    this.panel = new Panel(comparison);
  }

  isMarked(file, line) {
    return file.moved(this.measure, line) !== 0;
  }

  levelAt(file, line) {
    return levelOf(Math.abs(file.moved(this.measure, line)), this.measure.largest);
  }

  paintAt(file, line) {
    const moved = file.moved(this.measure, line);
    return moved ? `${directionOf(moved)} l${this.levelAt(file, line)}` : "";
  }

  kindAt(file, line) {
    return file.kind(line);
  }

  drawLine(file, line) {
    const at = file.at(line);
    const { key, text } = this.measure;
    const cell = (name, told) => this.cell(name, at === undefined ? "" : told());
    const sign = { added: "+", removed: "−" }[file.kind(line)] ?? "";
    return [
      cell("was", () => file.told(key, "old", at, text)), cell("is", () => file.told(key, "new", at, text)),
      cell("change", () => signed(file.difference(key, at), text)),
      this.cell("no", file.old[line - 1] || ""), this.cell("no", file.new[line - 1] || ""), this.cell("sign", sign)];
  }

  best(file) {
    return file.largest(this.measure);
  }

  bestOfAll() {
    return this.book.index.findIndex((entry) => entry.largest[this.measure.at] === this.measure.largest);
  }

  showHead() {
    const { measure } = this;
    const { entry } = this.file;
    const sum = (name, key, text) => {
      const [was, is] = entry[key];
      const change = signed(is - was, text);
      return el("span", { "data-sum": key }, `${name} `, el("b", {}, was === is ? text(is) : `${text(was)} → ${text(is)}`), change ? ` ${change}` : "");
    };
    const changed = el("span", {}, `${plural(entry.changed[measure.at], "line")} changed`);
    const sums = [sum(MEASURES.hits.name, "hits", count), sum("self", "self_ns", time), sum("total", "total_ns", time), sum("calls", "calls", count), changed];
    this.showTitle(entry, sums, this.legend(), "Three steps for each power of ten below the largest change: less on the left, more on the right");
    document.body.dataset.by = measure.name;
  }

  legend() {
    const { largest, text } = this.measure;
    if (!largest) return [this.measure.at === 2 ? "no line changed" : "no evidence of change"];
    const steps = Array.from({ length: LEVELS }, (_, step) => step + 1);
    const less = steps.toReversed().map((step) => el("i", { class: `less l${step}` }));
    return [signed(-largest, text), el("span", { class: "steps" }, ...less, ...steps.map((step) => el("i", { class: `more l${step}` }))), signed(largest, text)];
  }
}

new DiffMap(new Comparison()).start();
