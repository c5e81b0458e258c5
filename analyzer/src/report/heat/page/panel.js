// The panel of the chosen line: its numbers, the calls that it makes, and the callers of its
// function.

/** The callers or callees that are listed. */
const MAX_ROWS = 200;

class LinePanel {
  constructor(data) {
    this.data = data;
    this.panel = byId("panel");
  }

  show(file, line) {
    const functions = file.functionsOf(line);
    this.panel.replaceChildren(
      this.numbers(file, line, functions),
      this.table("Calls", "calls", this.data.callsFrom(file.number, line).map((call) => this.callee(call)),
        "This line calls no function that was recorded."),
      ...this.callers(functions),
    );
  }

  numbers(file, line, functions) {
    const index = file.indexOf(line);
    const title = el("h3", {}, `Line ${line}`);
    functions.forEach(({ first, name }, at) => title.append(at ? ", " : " in ", this.link(file.number, first, plain(name))));
    if (index === undefined) return el("div", { class: "numbers" }, title, el("p", {}, "Nothing was recorded on this line."));
    const { self, total, hits } = MEASURES;
    const fact = (name, value, remark, key) => [el("dt", {}, name), el("dd", { "data-key": key }, value, el("small", {}, remark))];
    const hitFacts = this.data.hasHits
      ? fact("hits", count(file.hits[index]), percent(file.hits[index], hits.whole), "hits")
      : fact("hits", "unknown", "lines were not recorded", "hits");
    const entryFacts = [];
    if (file.entries[index]) entryFacts.push(...fact("entered", count(file.entries[index]), "a function was entered or resumed here", "entries"));
    if (file.returns[index]) entryFacts.push(...fact("left", count(file.returns[index]), "a function returned or was suspended here", "returns"));
    return el("div", { class: "numbers" }, title, el("dl", {},
      ...hitFacts,
      ...fact("self", time(file.self_ns[index]), percent(file.self_ns[index], self.whole), "self"),
      ...fact("total", time(file.total_ns[index]), percent(file.total_ns[index], total.whole), "total"),
      ...entryFacts));
  }

  callee(call) {
    const [label, file, first] = this.data.calls.callees[call.callee];
    return { call, name: this.link(file, first, plain(label)) };
  }

  callers(functions) {
    const called = functions.filter(({ callee }) => callee !== null);
    if (called.length === 0) {
      return [this.table("Called from", "callers", [], functions.length ? "No recorded line calls this function." : "")];
    }
    return called.map(({ name, callee }) => {
      const rows = this.data.callsOf(callee).map((call) => ({ call, name: this.caller(call) }));
      return this.table(`${plain(name)} is called from`, "callers", rows, "");
    });
  }

  caller({ file, line }) {
    const entry = this.data.entries[file];
    const outermost = this.data.file(file).functionsOf(line).at(-1);
    return this.link(file, line, `${outermost ? plain(outermost.name) : ""} (${plain(entry.name)}:${line})`.trim());
  }

  /** A link to a line; plain text if the page does not contain the file. */
  link(file, line, text) {
    if (file === null || file === undefined || !line) return el("span", {}, text);
    return el("a", { href: this.data.address(file, line) }, text);
  }

  table(title, className, rows, placeholder) {
    const body = rows.slice(0, MAX_ROWS).map(({ call, name }) =>
      el("tr", {}, el("td", {}, count(call.number)), el("td", {}, time(call.ns)), el("td", {}, name)));
    const content = rows.length
      ? el("table", {}, el("thead", {}, el("tr", {}, ...["calls", "time", ""].map((head) => el("th", {}, head)))), el("tbody", {}, ...body))
      : el("p", {}, placeholder);
    if (rows.length > MAX_ROWS) content.append(el("caption", {}, `and ${count(rows.length - MAX_ROWS)} more`));
    return el("div", { class: `links ${className}` }, el("h3", {}, title), content);
  }
}
