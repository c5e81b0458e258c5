// The heat map: the viewer with lines coloured by hits or time.

/** A line is hot if its value is at least this fraction of that of the hottest line of its file. */
const HOT = 0.01;

class HeatViewer extends SourceViewer {
  constructor(data) {
    super(data, MEASURES, "self");
    this.panel = new LinePanel(data);
  }

  isRelevant(file, line) {
    const value = file.value(this.measure, line);
    return value > 0 && value >= HOT * file.entry.hottest[this.measure.index];
  }

  levelAt(file, line) {
    return levelOf(file.value(this.measure, line), this.measure.hottest);
  }

  classAt(file, line) {
    return `h${this.levelAt(file, line)}`;
  }

  drawLine(file, line) {
    const index = file.indexOf(line);
    const number = (name, text) => this.cell(name, index === undefined ? "" : text());
    const ns = (name) => number(name, () => time(MEASURES[name].of(file, index)));
    return [number("hits", () => this.hitText(file, index)), ns("self"), ns("total"), this.cell("line-number", line)];
  }

  hitText(file, index) {
    if (this.data.hasHits) return count(file.hits[index]);
    return file.entries[index] ? count(file.entries[index]) : `↩ ${count(file.returns[index])}`;
  }

  largestLine(file) {
    return file.hottest(this.measure);
  }

  fileWithLargest() {
    return this.data.entries.findIndex((entry) => entry.hottest[this.measure.index] === this.measure.hottest);
  }

  showHead() {
    const { file, measure } = this;
    const { entry } = file;
    const hits = this.data.hasHits ? plural(entry.hits, "hit") : `entered ${plural(entry.entries, "time")}`;
    const sums = [
      el("span", {}, "self ", el("b", {}, time(entry.self_ns)), ` ${percent(entry.self_ns, MEASURES.self.whole)}`),
      el("span", {}, "total ", el("b", {}, time(entry.total_ns)), ` ${percent(entry.total_ns, MEASURES.total.whole)}`),
      el("span", {}, el("b", {}, hits)), el("span", {}, `${plural(file.line.length, "line")} ran`)];
    const steps = Array.from({ length: LEVELS }, (_, step) => el("i", { class: `h${step + 1}` }));
    const legend = [`${measure.text(Math.round(measure.hottest / 10 ** DECADES))} `, el("span", { class: "steps" }, ...steps), ` ${measure.text(measure.hottest)}`];
    this.showTitle(entry, sums, legend, "Three steps for each power of ten below the hottest line of the recording");
    document.body.dataset.by = measure.index === 2 ? "hits" : measure.name;
  }

  /** Follows the first link of a part of the panel. */
  follow(selector) {
    const link = byId("panel").querySelector(`${selector} a`);
    if (!link) return;
    const { number, line } = this.data.resolve(link.getAttribute("href"));
    this.go(number, line);
  }

  keys() {
    return { ...super.keys(), Enter: () => this.follow(".calls"), c: () => this.follow(".callers") };
  }
}

new HeatViewer(new HeatData()).start();
