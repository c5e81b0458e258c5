// What the page knows: files, their lines, who called whom.

/** What lines are coloured by: a number of each line, and how it is written. */
const MEASURES = {
  self: { at: 0, name: "self", of: (file, at) => file.self_ns[at], sum: (entry) => entry.self_ns, text: time },
  total: { at: 1, name: "total", of: (file, at) => file.total_ns[at], sum: (entry) => entry.total_ns, text: time },
  hits: { at: 2, name: "hits", of: (file, at) => file.often(at), sum: (entry) => entry.hits ?? entry.entries, text: count },
};

/** Steps of the colour scale: three for each power of ten below the hottest line. */
const LEVELS = 12;
const DECADES = 4;

/** The step of a number, 0 for nothing. */
const levelOf = (number, hottest) => {
  if (!number) return 0;
  const step = Math.ceil(LEVELS * (1 + Math.log10(number / hottest) / DECADES) - 1e-9);
  return Math.min(Math.max(step, 1), LEVELS);
};

/** A file's lines. */
class SourceFile {
  constructor(number, entry, { text, runs, ...columns }) {
    Object.assign(this, columns, { number, entry });
    this.hasText = text !== null;
    this.source = this.hasText ? text.split("\n") : [];
    this.paints = this.hasText ? runs.split("\n") : [];
    this.places = new Map(this.line.map((line, at) => [line, at]));
    this.last = Math.max(this.source.length, this.line.at(-1) ?? 0);
  }

  /** Where a line's numbers are in the columns; undefined where it has none. */
  at(line) {
    return this.places.get(line);
  }

  often(at) {
    return this.hits[at] ?? this.entries[at];
  }

  value(measure, line) {
    const at = this.at(line);
    return at === undefined ? 0 : measure.of(this, at);
  }

  /** The functions that came to each line, the innermost first. */
  functionsOf(line) {
    if (!this.owners) {
      this.owners = new Map();
      for (const [first, name, callee, lines] of this.functions) {
        for (const own of lines) {
          if (!this.owners.has(own)) this.owners.set(own, []);
          this.owners.get(own).unshift({ first, name, callee });
        }
      }
    }
    return this.owners.get(line) ?? [];
  }

  /** The hottest of its lines. */
  hottest(measure) {
    return this.line.reduce((best, line) => (this.value(measure, line) > this.value(measure, best) ? line : best), this.line[0]);
  }

  text(line) {
    return this.source[line - 1] ?? "";
  }

  runs(line) {
    return this.paints[line - 1] ?? "";
  }
}

class Recording {
  constructor() {
    const { has_hits, total_ns, files } = data("index");
    this.hasHits = has_hits;
    this.index = files;
    this.files = [];
    if (!has_hits) MEASURES.hits.name = "entries";
    for (const measure of Object.values(MEASURES)) {
      measure.hottest = Math.max(...files.map((entry) => entry.hottest[measure.at]), 0);
      measure.whole = measure.at === 2 ? files.reduce((sum, entry) => sum + measure.sum(entry), 0) : total_ns;
    }
  }

  file(number) {
    return (this.files[number] ??= new SourceFile(number, this.index[number], data(`file-${number}`)));
  }

  /** The file of that name. */
  find(name) {
    return this.index.findIndex((entry) => entry.file === name);
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
