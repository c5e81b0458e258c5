// The data of the comparison: the lines of each file with the numbers of both sides.

/**
 * The measures that lines can be compared by: `index` is the position in an entry's `changed`,
 * `moved`, `change` and `largest`.
 */
const MEASURES = {
  self: { index: 0, name: "self", key: "self_ns", text: time },
  total: { index: 1, name: "total", key: "total_ns", text: time },
  hits: { index: 2, name: "hits", key: "hits", text: count },
};

/** The texts of verdicts by their letters. A capital stands for evidence of a change. */
const VERDICTS = {
  s: "the same", v: "varies between runs", C: "changed", X: "only one side ran this line", F: "faster", S: "slower",
  t: "too short to tell", n: "no evidence of change", o: "one run of a side, no evidence",
};

const hasEvidence = (verdict) => verdict !== verdict.toLowerCase();

/** A number with its sign; empty for 0. */
const signed = (number, text) => (number === 0 ? "" : `${number > 0 ? "+" : "−"}${text(Math.abs(number))}`);

const directionOf = (number) => (number > 0 ? "more" : "less");

/** A file with the numbers of both sides. */
class ComparedFile extends SourceFile {
  /** The change of a line; 0 if there is no evidence of one. */
  moved(measure, line) {
    const index = this.indexOf(line);
    return index === undefined || !hasEvidence(this[measure.key].verdict[index]) ? 0 : this.difference(measure.key, index);
  }

  difference(key, index) {
    return this[key].new[index] - this[key].old[index];
  }

  /** The value of a side as text: a range if its runs differ in a count. */
  valueText(key, side, index, text) {
    this.ranges ??= {};
    this.ranges[key] ??= new Map(this[key].ranges);
    const range = this.ranges[key].get(index);
    return range ? range[side === "old" ? 0 : 1] : text(this[key][side][index]);
  }

  /** Whether a line was added to or removed from the source text. */
  kind(line) {
    const [old, new_] = [this.old[line - 1], this.new[line - 1]];
    if (!this.is_compared || (old && new_) || (!old && !new_)) return "";
    return new_ ? "added" : "removed";
  }

  /** The line with the largest change; the first line that ran if nothing changed. */
  largest(measure) {
    const distance = (line) => Math.abs(this.moved(measure, line));
    return this.line.reduce((largest, line) => (distance(line) > distance(largest) ? line : largest), this.line[0]);
  }
}

class DiffData extends PageData {
  constructor() {
    const { has_hits, files } = embedded("index");
    super(files);
    if (!has_hits) MEASURES.hits.name = "entries";
    for (const measure of Object.values(MEASURES)) {
      const { index } = measure;
      measure.largest = Math.max(...files.map((entry) => entry.largest[index]), 0);
      measure.size = (entry) => entry.moved[index];
      measure.label = (entry) => (entry.moved[index] ? signed(entry.change[index], measure.text) || "±0" : "");
      measure.className = (entry) => {
        if (!entry.moved[index]) return "";
        const change = entry.change[index];
        const level = `l${levelOf(entry.largest[index], measure.largest)}`;
        return change ? `${directionOf(change)} ${level}` : "both";
      };
    }
  }

  createFile(number, entry, columns) {
    return new ComparedFile(number, entry, columns);
  }

  /** The new number of a line, or the negated old one if the line was removed. */
  lineName(number, line) {
    const file = this.file(number);
    return String(file.new[line - 1] || -file.old[line - 1]);
  }

  lineNamed(number, name) {
    const file = this.file(number);
    const side = name < 0 ? file.old : file.new;
    return side.findIndex((own, index) => own === Math.abs(name) && (name > 0 || !file.new[index])) + 1;
  }
}
