// The panel of the chosen line: its numbers on both sides, and the verdicts.

class LinePanel {
  constructor() {
    this.panel = byId("panel");
  }

  show(file, line) {
    const index = file.indexOf(line);
    const title = el("h3", {}, this.title(file, line));
    const body = index === undefined ? el("p", {}, "Neither side recorded anything on this line.") : this.table(file, index);
    this.panel.replaceChildren(el("div", { class: "numbers" }, title, body));
  }

  title(file, line) {
    const [old, new_] = [file.old[line - 1], file.new[line - 1]];
    const functions = file.functionsOf(line).map(({ name }) => plain(name)).join(", ");
    const other = old === new_ ? "" : old && new_ ? `, ${old} in the old` : new_ ? ", only in the new" : ", only in the old";
    return `Line ${new_ || old}${functions ? ` in ${functions}` : ""}${other}`;
  }

  table(file, index) {
    const rows = [[MEASURES.hits.name, "hits", count], ["self", "self_ns", time], ["total", "total_ns", time]];
    if (file.entries) rows.push(["entered", "entries", count]);
    const heads = ["", "old", "new", "change", "", file.self_ns.interval ? "95 % interval" : ""];
    return el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", {}, head)))),
      el("tbody", {}, ...rows.map(([name, key, text]) => this.row(file, index, name, key, text))));
  }

  row(file, index, name, key, text) {
    const column = file[key];
    const [change, verdict] = [file.difference(key, index), column.verdict[index]];
    const direction = hasEvidence(verdict) && change ? directionOf(change) : null;
    return el("tr", { "data-key": key },
      el("td", {}, name), el("td", {}, file.valueText(key, "old", index, text)), el("td", {}, file.valueText(key, "new", index, text)),
      el("td", { class: direction }, el(direction ? "b" : "span", {}, signed(change, text))),
      el("td", { class: "verdict" }, VERDICTS[verdict]), el("td", {}, column.interval?.[index] ?? ""));
  }
}
