// The heat map: what is shown, and what keys and clicks do.

/** A line is hot if it has at least this part of what the hottest line of its file has. */
const HOT = 0.01;

const recording = new Recording();
const files = new FileList(recording);
const panel = new Panel(recording);
const shown = { file: null, line: 0, measure: MEASURES.self, hotOnly: false, rows: [], went: 0 };

/** Below a positive number is a line, a negative one tells how many lines are left out. */
const rowsOf = (file) => {
  const isSeen = (line) => {
    if (!shown.hotOnly) return file.hasText || file.at(line) !== undefined;
    return isHot(file, line) || line === shown.line;
  };
  const rows = [];
  for (let line = 1; line <= file.last; line++) {
    if (isSeen(line)) rows.push(line);
    else if (rows.at(-1) < 0) rows[rows.length - 1] -= 1;
    else rows.push(-1);
  }
  // To leave out a single line would save nothing.
  return rows.map((row, at) => (row === -1 && file.hasText ? (rows[at - 1] ?? 0) + 1 : row));
};

const isHot = (file, line) => {
  const value = file.value(shown.measure, line);
  return value > 0 && value >= HOT * file.entry.hottest[shown.measure.at];
};

const levelAt = (file, line) => levelOf(file.value(shown.measure, line), shown.measure.hottest);

const drawRow = (row) => {
  const { file } = shown;
  const line = shown.rows[row];
  if (line < 0) return drawFold(row, -line);
  const at = file.at(line);
  const cell = (name, text) => el("span", { class: `cell ${name}` }, text);
  const number = (name) => cell(name, at === undefined ? "" : name === "hits" ? oftenText(file, at) : time(MEASURES[name].of(file, at)));
  const code = file.hasText ? paint(file.text(line), file.runs(line), search.needle) : el("code", { class: "absent" }, ownersOf(file, line));
  const chosen = line === shown.line;
  return el("div", { class: `row h${levelAt(file, line)}${chosen ? " chosen" : ""}`, role: "row", id: `line-${line}`, "aria-rowindex": row + 1, "aria-selected": chosen, "data-line": line },
    number("hits"), number("self"), number("total"), cell("no", line), code);
};

/** What is left out, and the function that goes on below. */
const drawFold = (row, lines) => {
  const [above, below] = [shown.rows[row - 1], shown.rows[row + 1]].map((line) => shown.file.functionsOf(line)[0]?.name);
  const other = below && below !== above ? ` · ${plain(below)}` : "";
  return el("div", { class: "row fold", role: "row", "aria-rowindex": row + 1 }, `⋮ ${plural(lines, "line")}${other}`);
};

const oftenText = (file, at) => {
  if (recording.hasHits) return count(file.hits[at]);
  return file.entries[at] ? count(file.entries[at]) : `↩ ${count(file.returns[at])}`;
};

/** What stands for a source line that the recording does not hold. */
const ownersOf = (file, line) => file.functionsOf(line).map(({ name }) => plain(name)).join(", ");

const listing = new Listing(byId("lines"), drawRow);
const map = new Minimap(byId("map"), listing, (row) => {
  const line = shown.rows[row];
  if (line < 0) return { level: 0, indent: 0, length: 0 };
  const text = shown.file.text(line);
  const indent = text.length - text.trimStart().length;
  return { level: levelAt(shown.file, line), indent, length: text.length - indent };
});
const search = new Search(recording, files, () => listing.redraw());

/** Shows a file as the switches say. */
const showFile = () => {
  const { file } = shown;
  shown.rows = rowsOf(file);
  shown.places = new Map(shown.rows.map((line, row) => [line, row]));
  const letters = file.source.reduce((most, text) => Math.max(most, text.length), 40);
  listing.show(shown.rows.length, Math.min(letters, LONGEST_LINE + 40));
  map.show();
};

const showHead = () => {
  const { file, measure } = shown;
  const { entry } = file;
  const often = recording.hasHits ? plural(entry.hits, "hit") : `entered ${plural(entry.entries, "time")}`;
  byId("name").replaceChildren(plain(entry.name), el("small", {}, entry.file === entry.name ? "" : plain(entry.file)));
  byId("sums").replaceChildren(
    el("span", {}, "self ", el("b", {}, time(entry.self_ns)), ` ${share(entry.self_ns, MEASURES.self.whole)}`),
    el("span", {}, "total ", el("b", {}, time(entry.total_ns)), ` ${share(entry.total_ns, MEASURES.total.whole)}`),
    el("span", {}, el("b", {}, often)), el("span", {}, `${plural(file.line.length, "line")} ran`));
  byId("note").textContent = entry.note ?? "";
  byId("note").hidden = !entry.note;
  document.body.dataset.by = measure.at === 2 ? "hits" : measure.name;
  const steps = Array.from({ length: LEVELS }, (_, step) => el("i", { class: `h${step + 1}` }));
  byId("legend").title = "Three steps for each power of ten below the hottest line of the recording";
  byId("legend").replaceChildren(`${measure.text(Math.round(measure.hottest / 10 ** DECADES))} `, el("span", { class: "steps" }, ...steps), ` ${measure.text(measure.hottest)}`);
};

/** Goes to a line; its address is kept, so that there is a way back. */
const go = (number, line) => {
  const address = place(recording.index[number].file, line);
  if (address === location.hash) return arrive();
  shown.went += 1;
  location.hash = address;
};

/** Back to where a link or a key led away from, and not out of the page. */
const goBack = () => {
  if (shown.went === 0) return;
  shown.went -= 1;
  history.back();
};

/** Shows what the address names; without one, the hottest line of the hottest file. */
const arrive = () => {
  const { name, line } = placeAt(location.hash);
  const known = recording.find(name);
  const number = known >= 0 ? known : files.order[0];
  if (number === undefined) return;
  const other = shown.file?.number !== number;
  if (other) {
    shown.file = recording.file(number);
    byId("lines").scrollTop = 0;
    files.choose(number);
  }
  choose(Math.min(line, shown.file.last) || shown.file.hottest(shown.measure), other);
};

/** Chooses a line of the file. */
const choose = (line, isNew = false) => {
  const before = shown.places?.get(shown.line);
  shown.line = line;
  if (isNew) showHead();
  if (isNew || !shown.places.has(line)) showFile();
  const row = shown.places.get(line);
  listing.element(before)?.classList.remove("chosen");
  listing.reveal(row);
  listing.element(row)?.classList.add("chosen");
  byId("lines").setAttribute("aria-activedescendant", `line-${line}`);
  panel.show(shown.file, line, shown.measure);
};

/** Chooses a line without leaving a trace in the history. */
const walk = (line) => {
  history.replaceState(null, "", place(shown.file.entry.file, line));
  choose(line);
};

const step = (by) => {
  let row = shown.places.get(shown.line) + by;
  row = Math.min(Math.max(row, 0), shown.rows.length - 1);
  if (shown.rows[row] < 0) row += Math.sign(by);
  if (shown.rows[row] > 0) walk(shown.rows[row]);
};

const stepHot = (by) => {
  const hot = shown.file.line.filter((line) => isHot(shown.file, line));
  const next = by > 0 ? hot.find((line) => line > shown.line) ?? hot[0] : hot.findLast((line) => line < shown.line) ?? hot.at(-1);
  if (next) walk(next);
};

const stepFound = (by) => {
  const found = search.step(by);
  if (found) go(found.number, found.line);
};

const measureBy = (name) => {
  shown.measure = MEASURES[name];
  for (const button of byId("measures").children) button.setAttribute("aria-checked", button.dataset.measure === name);
  files.show(shown.measure);
  if (!shown.file) return;
  files.choose(shown.file.number);
  showHead();
  showFile();
  choose(shown.line);
};

const toggleHot = () => {
  if (!shown.file) return;
  shown.hotOnly = !shown.hotOnly;
  byId("hot").setAttribute("aria-pressed", shown.hotOnly);
  showFile();
  choose(shown.line);
};

const goHottest = () => shown.file && go(shown.file.number, shown.file.hottest(shown.measure));

const goHottestOfAll = () => {
  const number = recording.index.findIndex((entry) => entry.hottest[shown.measure.at] === shown.measure.hottest);
  go(number, recording.file(number).hottest(shown.measure));
};

const follow = (selector) => {
  const link = byId("panel").querySelector(`${selector} a`);
  if (link) {
    const { name, line } = placeAt(link.getAttribute("href"));
    go(recording.find(name), line);
  }
};

const goFile = (by) => {
  const number = files.beside(shown.file.number, by);
  if (number !== undefined) go(number);
};

const KEYS = {
  ArrowDown: () => step(1), ArrowUp: () => step(-1), j: () => step(1), k: () => step(-1),
  PageDown: () => step(listing.screen()), PageUp: () => step(-listing.screen()),
  Home: () => step(-shown.rows.length), End: () => step(shown.rows.length),
  n: () => (search.isOn ? stepFound(1) : stepHot(1)), p: () => (search.isOn ? stepFound(-1) : stepHot(-1)),
  h: goHottest, H: goHottestOfAll,
  1: () => measureBy("self"), 2: () => measureBy("total"), 3: () => measureBy("hits"),
  o: toggleHot, d: () => theme.toggle(), "?": () => help.toggle(),
  Enter: () => follow(".calls"), c: () => follow(".callers"), Backspace: goBack,
  "[": () => goFile(-1), "]": () => goFile(1),
  "/": () => byId("search").select(),
};

const pressedInSearch = (event) => {
  if (event.key === "Escape") {
    search.end();
    byId("lines").focus();
  } else if (event.key === "Enter" || event.key === "ArrowDown") {
    stepFound(event.shiftKey ? -1 : 1);
  } else if (event.key === "ArrowUp") {
    stepFound(-1);
  } else {
    return;
  }
  event.preventDefault();
};

const pressed = (event) => {
  if (byId("help").open && event.key !== "?") return;
  if (event.target === byId("search")) return pressedInSearch(event);
  const isFind = event.key === "f" && (event.ctrlKey || event.metaKey);
  if (!isFind && (event.ctrlKey || event.metaKey || event.altKey)) return;
  if (event.key === "Escape" && search.isOn) search.end();
  const onControl = event.target.closest?.("a, button");
  if (onControl && (event.key === "Enter" || event.key === " ")) return;
  const act = isFind ? KEYS["/"] : KEYS[event.key];
  if (!act || !shown.file) return;
  event.preventDefault();
  act();
};

const start = () => {
  theme.start();
  help.start();
  files.show(shown.measure);
  byId("measures").addEventListener("click", (event) => event.target.dataset.measure && measureBy(event.target.dataset.measure));
  byId("columns").addEventListener("click", (event) => event.target.dataset.measure && measureBy(event.target.dataset.measure));
  byId("hot").addEventListener("click", toggleHot);
  byId("hottest").addEventListener("click", goHottest);
  byId("lines").addEventListener("click", (event) => {
    const row = event.target.closest("[data-line]");
    if (row && getSelection().isCollapsed) walk(Number(row.dataset.line));
  });
  byId("panel").addEventListener("click", (event) => { shown.went += event.target.closest("a") ? 1 : 0; });
  addEventListener("hashchange", arrive);
  addEventListener("keydown", pressed);
  arrive();
  byId("lines").focus({ preventScroll: true });
};

start();
