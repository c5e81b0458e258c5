// The data of the heat map: the lines of each file with their numbers, and the calls between lines
// and functions.

/** The measures that lines can be coloured by: `index` is the position in an entry's `hottest`. */
const MEASURES = {
  self: { index: 0, name: "self", of: (file, index) => file.self_ns[index], size: (entry) => entry.self_ns, text: time },
  total: { index: 1, name: "total", of: (file, index) => file.total_ns[index], size: (entry) => entry.total_ns, text: time },
  hits: { index: 2, name: "hits", of: (file, index) => file.hitsOrEntries(index), size: (entry) => entry.hits ?? entry.entries, text: count },
};

/** A file with the hits and times of its lines. */
class HeatFile extends SourceFile {
  hitsOrEntries(index) {
    return this.hits[index] ?? this.entries[index];
  }

  value(measure, line) {
    const index = this.indexOf(line);
    return index === undefined ? 0 : measure.of(this, index);
  }

  /** The line with the largest value. */
  hottest(measure) {
    return this.line.reduce((hottest, line) => (this.value(measure, line) > this.value(measure, hottest) ? line : hottest), this.line[0]);
  }
}

class HeatData extends PageData {
  constructor() {
    const { has_hits, total_ns, files } = embedded("index");
    super(files);
    this.hasHits = has_hits;
    if (!has_hits) MEASURES.hits.name = "entries";
    for (const measure of Object.values(MEASURES)) {
      measure.hottest = Math.max(...files.map((entry) => entry.hottest[measure.index]), 0);
      measure.whole = measure.index === 2 ? files.reduce((sum, entry) => sum + measure.size(entry), 0) : total_ns;
      measure.label = (entry) => measure.text(measure.size(entry));
      measure.className = (entry) => `h${levelOf(entry.hottest[measure.index], measure.hottest)}`;
    }
  }

  createFile(number, entry, columns) {
    return new HeatFile(number, entry, columns);
  }

  /** The calls by calling line and by callee. They are parsed when they are first needed. */
  get calls() {
    if (!this.parsedCalls) {
      const { callees, calls } = embedded("calls");
      this.parsedCalls = { callees, byLine: new Map(), byCallee: new Map() };
      const add = (map, key, call) => (map.has(key) ? map.get(key).push(call) : map.set(key, [call]));
      for (let index = 0; index < calls.length; index += 5) {
        const [file, line, callee, number, ns] = calls.slice(index, index + 5);
        const call = { file, line, callee, number, ns };
        add(this.parsedCalls.byLine, `${file}:${line}`, call);
        add(this.parsedCalls.byCallee, callee, call);
      }
    }
    return this.parsedCalls;
  }

  /** The calls that a line makes, in the order of the embedded data: longest first. */
  callsFrom(file, line) {
    return this.calls.byLine.get(`${file}:${line}`) ?? [];
  }

  /** The calls of a function, by calling line, most frequent first. */
  callsOf(callee) {
    return callee === null ? [] : (this.calls.byCallee.get(callee) ?? []).toSorted((a, b) => b.number - a.number || b.ns - a.ns);
  }
}
