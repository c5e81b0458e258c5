// The chosen line: all of its numbers on both sides, and what can be said.

class Panel {
  constructor(comparison) {
    this.comparison = comparison;
    this.panel = byId("panel");
  }

  show(file, line) {
    const at = file.at(line);
    const title = el("h3", {}, this.title(file, line));
    const body = at === undefined ? el("p", {}, "Neither side recorded anything on this line.") : this.table(file, at);
    this.panel.replaceChildren(el("div", { class: "numbers" }, title, body));
  }

  title(file, line) {
    const [was, is] = [file.old[line - 1], file.new[line - 1]];
    const owners = file.functionsOf(line).map(({ name }) => plain(name)).join(", ");
    const other = was === is ? "" : was && is ? `, ${was} in the old` : is ? ", only in the new" : ", only in the old";
    return `Line ${is || was}${owners ? ` in ${owners}` : ""}${other}`;
  }

  table(file, at) {
    const rows = [[MEASURES.hits.name, "hits", count], ["self", "self_ns", time], ["total", "total_ns", time]];
    if (file.entries) rows.push(["entered", "entries", count]);
    const heads = ["", "old", "new", "change", "", file.self_ns.interval ? "95 % interval" : ""];
    return el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", {}, head)))),
      el("tbody", {}, ...rows.map(([name, key, text]) => this.row(file, at, name, key, text))));
  }

  row(file, at, name, key, text) {
    const column = file[key];
    const [change, verdict] = [file.difference(key, at), column.verdict[at]];
    const paint = isKnown(verdict) && change ? directionOf(change) : null;
    return el("tr", { "data-key": key },
      el("td", {}, name), el("td", {}, file.told(key, "old", at, text)), el("td", {}, file.told(key, "new", at, text)),
      el("td", { class: paint }, el(paint ? "b" : "span", {}, signed(change, text))),
      el("td", { class: "verdict" }, VERDICTS[verdict]), el("td", {}, column.interval?.[at] ?? ""));
  }
}
