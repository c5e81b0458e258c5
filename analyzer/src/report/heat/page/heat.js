// The heat map: what is hot, and what a line's cells say.

/** A line is hot if it has at least this part of what the hottest line of its file has. */
const HOT = 0.01;

class HeatMap extends Reader {
  constructor(recording) {
    super(recording, MEASURES, "self");
    this.panel = new Panel(recording);
  }

  isMarked(file, line) {
    const value = file.value(this.measure, line);
    return value > 0 && value >= HOT * file.entry.hottest[this.measure.at];
  }

  levelAt(file, line) {
    return levelOf(file.value(this.measure, line), this.measure.hottest);
  }

  paintAt(file, line) {
    return `h${this.levelAt(file, line)}`;
  }

  drawLine(file, line) {
    const at = file.at(line);
    const number = (name, text) => this.cell(name, at === undefined ? "" : text());
    const ns = (name) => number(name, () => time(MEASURES[name].of(file, at)));
    return [number("hits", () => this.often(file, at)), ns("self"), ns("total"), this.cell("no", line)];
  }

  often(file, at) {
    if (this.book.hasHits) return count(file.hits[at]);
    return file.entries[at] ? count(file.entries[at]) : `↩ ${count(file.returns[at])}`;
  }

  best(file) {
    return file.hottest(this.measure);
  }

  bestOfAll() {
    return this.book.index.findIndex((entry) => entry.hottest[this.measure.at] === this.measure.hottest);
  }

  showHead() {
    const { file, measure } = this;
    const { entry } = file;
    const often = this.book.hasHits ? plural(entry.hits, "hit") : `entered ${plural(entry.entries, "time")}`;
    const sums = [
      el("span", {}, "self ", el("b", {}, time(entry.self_ns)), ` ${share(entry.self_ns, MEASURES.self.whole)}`),
      el("span", {}, "total ", el("b", {}, time(entry.total_ns)), ` ${share(entry.total_ns, MEASURES.total.whole)}`),
      el("span", {}, el("b", {}, often)), el("span", {}, `${plural(file.line.length, "line")} ran`)];
    const steps = Array.from({ length: LEVELS }, (_, step) => el("i", { class: `h${step + 1}` }));
    const legend = [`${measure.text(Math.round(measure.hottest / 10 ** DECADES))} `, el("span", { class: "steps" }, ...steps), ` ${measure.text(measure.hottest)}`];
    this.showTitle(entry, sums, legend, "Three steps for each power of ten below the hottest line of the recording");
    document.body.dataset.by = measure.at === 2 ? "hits" : measure.name;
  }

  follow(selector) {
    const link = byId("panel").querySelector(`${selector} a`);
    if (!link) return;
    const { number, line } = this.book.find(link.getAttribute("href"));
    this.go(number, line);
  }

  keys() {
    return { ...super.keys(), Enter: () => this.follow(".calls"), c: () => this.follow(".callers") };
  }
}

new HeatMap(new Recording()).start();
