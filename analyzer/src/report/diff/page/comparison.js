// What the page knows: files, and their lines on both sides.

/** What lines are compared by: a column of each file, and how its numbers are written. */
const MEASURES = {
  self: { at: 0, name: "self", key: "self_ns", text: time },
  total: { at: 1, name: "total", key: "total_ns", text: time },
  hits: { at: 2, name: "hits", key: "hits", text: count },
};

/** What can be said of a change, by its letter. A capital says that it is known to be one. */
const VERDICTS = {
  s: "the same", v: "runs differ by themselves", C: "changed", X: "only one side came here", F: "faster", S: "slower",
  t: "too short to tell", n: "no evidence of change", o: "one run of a side, no evidence",
};

const isKnown = (verdict) => verdict !== verdict.toLowerCase();

/** A number with its sign; nothing for none. */
const signed = (number, text) => (number === 0 ? "" : `${number > 0 ? "+" : "−"}${text(Math.abs(number))}`);

const directionOf = (number) => (number > 0 ? "more" : "less");

/** A file with its numbers. */
class ComparedFile extends SourceFile {
  /** How far a line changed, as far as that is known; 0 where it did not, or where nobody can tell. */
  moved(measure, line) {
    const at = this.at(line);
    return at === undefined || !isKnown(this[measure.key].verdict[at]) ? 0 : this.difference(measure.key, at);
  }

  difference(key, at) {
    return this[key].new[at] - this[key].old[at];
  }

  /** The number of a side: a range, where its runs differ in a count. */
  told(key, side, at, text) {
    this.ranges ??= {};
    this.ranges[key] ??= new Map(this[key].ranges);
    const range = this.ranges[key].get(at);
    return range ? range[side === "old" ? 0 : 1] : text(this[key][side][at]);
  }

  /** Whether a line came or went with the text. */
  kind(line) {
    const [was, is] = [this.old[line - 1], this.new[line - 1]];
    if (!this.is_compared || (was && is) || (!was && !is)) return "";
    return is ? "added" : "removed";
  }

  /** Where the change is the largest; where nothing changed, the first line that ran. */
  largest(measure) {
    const far = (line) => Math.abs(this.moved(measure, line));
    return this.line.reduce((best, line) => (far(line) > far(best) ? line : best), this.line[0]);
  }
}

class Comparison extends Book {
  constructor() {
    const { has_hits, files } = data("index");
    super(files);
    this.hasHits = has_hits;
    if (!has_hits) MEASURES.hits.name = "entries";
    for (const measure of Object.values(MEASURES)) {
      const { at } = measure;
      measure.largest = Math.max(...files.map((entry) => entry.largest[at]), 0);
      measure.size = (entry) => entry.moved[at];
      measure.told = (entry) => (entry.moved[at] ? signed(entry.change[at], measure.text) || "±0" : "");
      measure.paint = (entry) => {
        if (!entry.moved[at]) return "";
        const change = entry.change[at];
        const level = `l${levelOf(entry.largest[at], measure.largest)}`;
        return change ? `${directionOf(change)} ${level}` : "both";
      };
    }
  }

  read(number, entry, columns) {
    return new ComparedFile(number, entry, columns);
  }

  /** A line is called by its new number; one that went, by its old one, and a minus. */
  nameOf(number, line) {
    const file = this.file(number);
    return String(file.new[line - 1] || -file.old[line - 1]);
  }

  lineOf(number, name) {
    const file = this.file(number);
    const side = name < 0 ? file.old : file.new;
    return side.findIndex((own, at) => own === Math.abs(name) && (name > 0 || !file.new[at])) + 1;
  }
}
