// The comparison: the viewer with lines coloured by their change.

class DiffViewer extends SourceViewer {
  constructor(data) {
    super(data, MEASURES, "hits");
    this.panel = new LinePanel();
  }

  isRelevant(file, line) {
    return file.moved(this.measure, line) !== 0;
  }

  levelAt(file, line) {
    return levelOf(Math.abs(file.moved(this.measure, line)), this.measure.largest);
  }

  classAt(file, line) {
    const moved = file.moved(this.measure, line);
    return moved ? `${directionOf(moved)} l${this.levelAt(file, line)}` : "";
  }

  kindAt(file, line) {
    return file.kind(line);
  }

  drawLine(file, line) {
    const index = file.indexOf(line);
    const { key, text } = this.measure;
    const cell = (className, value) => this.cell(className, index === undefined ? "" : value());
    const sign = { added: "+", removed: "−" }[file.kind(line)] ?? "";
    return [
      cell("old", () => file.valueText(key, "old", index, text)), cell("new", () => file.valueText(key, "new", index, text)),
      cell("change", () => signed(file.difference(key, index), text)),
      this.cell("line-number", file.old[line - 1] || ""), this.cell("line-number", file.new[line - 1] || ""), this.cell("sign", sign)];
  }

  largestLine(file) {
    return file.largest(this.measure);
  }

  fileWithLargest() {
    return this.data.entries.findIndex((entry) => entry.largest[this.measure.index] === this.measure.largest);
  }

  showHead() {
    const { measure } = this;
    const { entry } = this.file;
    const sum = (name, key, text) => {
      const [old, new_] = entry[key];
      const change = signed(new_ - old, text);
      return el("span", { "data-sum": key }, `${name} `, el("b", {}, old === new_ ? text(new_) : `${text(old)} → ${text(new_)}`), change ? ` ${change}` : "");
    };
    const changed = el("span", {}, `${plural(entry.changed[measure.index], "line")} changed`);
    const sums = [sum(MEASURES.hits.name, "hits", count), sum("self", "self_ns", time), sum("total", "total_ns", time), sum("calls", "calls", count), changed];
    this.showTitle(entry, sums, this.legend(), "Three steps for each power of ten below the largest change: less on the left, more on the right");
    document.body.dataset.by = measure.name;
  }

  legend() {
    const { largest, text } = this.measure;
    if (!largest) return [this.measure.index === 2 ? "no line changed" : "no evidence of change"];
    const steps = Array.from({ length: LEVELS }, (_, step) => step + 1);
    const less = steps.toReversed().map((step) => el("i", { class: `less l${step}` }));
    return [signed(-largest, text), el("span", { class: "steps" }, ...less, ...steps.map((step) => el("i", { class: `more l${step}` }))), signed(largest, text)];
  }
}

new DiffViewer(new DiffData()).start();
