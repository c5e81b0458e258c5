// Lines in the colours of their runs, with what is searched for marked.

/** More of a line is not drawn. */
const LONGEST_LINE = 2000;

/** The pieces of a line: `[text, kind]`, where runs are `k2_3o1`. */
const pieces = (line, runs) => {
  const found = [];
  let from = 0;
  for (const [, kind, length] of runs.matchAll(/([a-z_])(\d+)/g)) {
    const to = from + Number(length);
    found.push([line.slice(from, to), kind]);
    from = to;
  }
  if (from < line.length) found.push([line.slice(from), "_"]);
  return found;
};

/** Where in a line something is. */
const placesOf = (line, needle) => {
  const places = [];
  if (!needle) return places;
  for (let at = needle.in(line, 0); at >= 0; at = needle.in(line, at + needle.length)) places.push(at);
  return places;
};

/** What is searched for. Capitals count only where it has some. */
const needleOf = (text) => {
  const exact = text !== text.toLowerCase();
  return text && { length: text.length, in: (line, from) => (exact ? line : line.toLowerCase()).indexOf(text, from) };
};

/** A line as elements. */
const paint = (line, runs, needle) => {
  const cut = line.length > LONGEST_LINE;
  const shown = cut ? line.slice(0, LONGEST_LINE) : line;
  const code = el("code");
  const marks = placesOf(shown, needle);
  let at = 0;
  for (const [text, kind] of pieces(shown, runs)) {
    const parent = kind === "_" ? code : code.appendChild(el("i", { class: kind }));
    let from = 0;
    for (const start of marks) {
      const [low, high] = [Math.max(start - at, from), Math.min(start - at + needle.length, text.length)];
      if (low >= high) continue;
      parent.append(text.slice(from, low), el("mark", {}, text.slice(low, high)));
      from = high;
    }
    parent.append(text.slice(from));
    at += text.length;
  }
  if (cut) code.append(el("i", { class: "more" }, ` … ${count(line.length - LONGEST_LINE)} more characters`));
  return code;
};
