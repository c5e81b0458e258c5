// What the page knows: files, their lines, who called whom.

/** What lines are coloured by: a number of each line, and how it is written. */
const MEASURES = {
  self: { at: 0, name: "self", of: (file, at) => file.self_ns[at], size: (entry) => entry.self_ns, text: time },
  total: { at: 1, name: "total", of: (file, at) => file.total_ns[at], size: (entry) => entry.total_ns, text: time },
  hits: { at: 2, name: "hits", of: (file, at) => file.often(at), size: (entry) => entry.hits ?? entry.entries, text: count },
};

/** A file with its numbers. */
class HeatFile extends SourceFile {
  often(at) {
    return this.hits[at] ?? this.entries[at];
  }

  value(measure, line) {
    const at = this.at(line);
    return at === undefined ? 0 : measure.of(this, at);
  }

  /** The hottest of its lines. */
  hottest(measure) {
    return this.line.reduce((best, line) => (this.value(measure, line) > this.value(measure, best) ? line : best), this.line[0]);
  }
}

class Recording extends Book {
  constructor() {
    const { has_hits, total_ns, files } = data("index");
    super(files);
    this.hasHits = has_hits;
    if (!has_hits) MEASURES.hits.name = "entries";
    for (const measure of Object.values(MEASURES)) {
      measure.hottest = Math.max(...files.map((entry) => entry.hottest[measure.at]), 0);
      measure.whole = measure.at === 2 ? files.reduce((sum, entry) => sum + measure.size(entry), 0) : total_ns;
      measure.told = (entry) => measure.text(measure.size(entry));
      measure.paint = (entry) => `h${levelOf(entry.hottest[measure.at], measure.hottest)}`;
    }
  }

  read(number, entry, columns) {
    return new HeatFile(number, entry, columns);
  }

  /** Calls by the line that makes them, and by what is called. Costlier than the rest, so only when asked for. */
  get calls() {
    if (!this.known) {
      const { callees, calls } = data("calls");
      this.known = { callees, from: new Map(), to: new Map() };
      const add = (map, key, call) => (map.has(key) ? map.get(key).push(call) : map.set(key, [call]));
      for (let at = 0; at < calls.length; at += 5) {
        const [file, line, callee, often, ns] = calls.slice(at, at + 5);
        const call = { file, line, callee, often, ns };
        add(this.known.from, `${file}:${line}`, call);
        add(this.known.to, callee, call);
      }
    }
    return this.known;
  }

  /** The calls that a line makes, the longest first. */
  callsFrom(file, line) {
    return this.calls.from.get(`${file}:${line}`) ?? [];
  }

  /** The calls of a function, the most often first. */
  callsOf(callee) {
    return callee === null ? [] : (this.calls.to.get(callee) ?? []).toSorted((a, b) => b.often - a.often || b.ns - a.ns);
  }
}
