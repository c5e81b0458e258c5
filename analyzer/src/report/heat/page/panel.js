// The chosen line: its numbers, what it calls, and who calls its function.

/** More callers or callees are not listed. */
const MOST_ROWS = 200;

class Panel {
  constructor(recording) {
    this.recording = recording;
    this.panel = byId("panel");
  }

  show(file, line, measure) {
    const functions = file.functionsOf(line);
    this.panel.replaceChildren(
      this.numbers(file, line, functions),
      this.table("Calls", "calls", this.recording.callsFrom(file.number, line).map((call) => this.callee(call)),
        "This line calls no function that was recorded."),
      ...this.callers(functions),
    );
  }

  numbers(file, line, functions) {
    const at = file.at(line);
    const title = el("h3", {}, `Line ${line}`);
    functions.forEach(({ first, name }, at) => title.append(at ? ", " : " in ", this.link(file.number, first, plain(name))));
    if (at === undefined) return el("div", { class: "numbers" }, title, el("p", {}, "Nothing was recorded on this line."));
    const { self, total, hits } = MEASURES;
    const fact = (name, value, part, key) => [el("dt", {}, name), el("dd", { "data-key": key }, value, el("small", {}, part))];
    const passed = this.recording.hasHits
      ? fact("hits", count(file.hits[at]), share(file.hits[at], hits.whole), "hits")
      : fact("hits", "unknown", "lines were not recorded", "hits");
    const moves = [];
    if (file.entries[at]) moves.push(...fact("entered", count(file.entries[at]), "a function began or went on here", "entries"));
    if (file.returns[at]) moves.push(...fact("left", count(file.returns[at]), "a function ended or paused here", "returns"));
    return el("div", { class: "numbers" }, title, el("dl", {},
      ...passed,
      ...fact("self", time(file.self_ns[at]), share(file.self_ns[at], self.whole), "self"),
      ...fact("total", time(file.total_ns[at]), share(file.total_ns[at], total.whole), "total"),
      ...moves));
  }

  callee(call) {
    const [label, file, first] = this.recording.calls.callees[call.callee];
    return { call, name: this.link(file, first, plain(label)) };
  }

  callers(functions) {
    const known = functions.filter(({ callee }) => callee !== null);
    if (known.length === 0) {
      return [this.table("Called from", "callers", [], functions.length ? "No recorded line calls this function." : "")];
    }
    return known.map(({ name, callee }) => {
      const rows = this.recording.callsOf(callee).map((call) => ({ call, name: this.caller(call) }));
      return this.table(`${plain(name)} is called from`, "callers", rows, "");
    });
  }

  caller({ file, line }) {
    const entry = this.recording.index[file];
    const owner = this.recording.file(file).functionsOf(line).at(-1);
    return this.link(file, line, `${owner ? plain(owner.name) : ""} (${plain(entry.name)}:${line})`.trim());
  }

  /** A link to a line; plain text where the page has no such file. */
  link(file, line, text) {
    if (file === null || file === undefined || !line) return el("span", {}, text);
    return el("a", { href: this.recording.address(file, line) }, text);
  }

  table(title, id, rows, nothing) {
    const body = rows.slice(0, MOST_ROWS).map(({ call, name }) =>
      el("tr", {}, el("td", {}, count(call.often)), el("td", {}, time(call.ns)), el("td", {}, name)));
    const content = rows.length
      ? el("table", {}, el("thead", {}, el("tr", {}, ...["calls", "time", ""].map((head) => el("th", {}, head)))), el("tbody", {}, ...body))
      : el("p", {}, nothing);
    if (rows.length > MOST_ROWS) content.append(el("caption", {}, `and ${count(rows.length - MOST_ROWS)} more`));
    return el("div", { class: `links ${id}` }, el("h3", {}, title), content);
  }
}
