// Source lines as elements: syntax colours, and marks on search hits.

/** The characters of a line that are drawn. */
const MAX_LINE_LENGTH = 2000;

/** Splits a line into `[text, kind]` by its runs, which are written as `k2_3o1`. */
const splitRuns = (line, runs) => {
  const parts = [];
  let from = 0;
  for (const [, kind, length] of runs.matchAll(/([a-z_])(\d+)/g)) {
    const to = from + Number(length);
    parts.push([line.slice(from, to), kind]);
    from = to;
  }
  if (from < line.length) parts.push([line.slice(from), "_"]);
  return parts;
};

/** The offsets of the hits in a line. */
const hitsIn = (line, needle) => {
  const offsets = [];
  if (!needle) return offsets;
  for (let offset = needle.indexIn(line, 0); offset >= 0; offset = needle.indexIn(line, offset + needle.length)) offsets.push(offset);
  return offsets;
};

/** A search text. It is case-sensitive if it contains a capital. */
const needleOf = (text) => {
  const isExact = text !== text.toLowerCase();
  return text && { length: text.length, indexIn: (line, from) => (isExact ? line : line.toLowerCase()).indexOf(text, from) };
};

/** A `code` element with a line in its syntax colours. */
const highlight = (line, runs, needle) => {
  const isCut = line.length > MAX_LINE_LENGTH;
  const shown = isCut ? line.slice(0, MAX_LINE_LENGTH) : line;
  const code = el("code");
  const hits = hitsIn(shown, needle);
  let offset = 0;
  for (const [text, kind] of splitRuns(shown, runs)) {
    const parent = kind === "_" ? code : code.appendChild(el("i", { class: kind }));
    let from = 0;
    for (const hit of hits) {
      const [start, end] = [Math.max(hit - offset, from), Math.min(hit - offset + needle.length, text.length)];
      if (start >= end) continue;
      parent.append(text.slice(from, start), el("mark", {}, text.slice(start, end)));
      from = end;
    }
    parent.append(text.slice(from));
    offset += text.length;
  }
  if (isCut) code.append(el("i", { class: "cut" }, ` … ${count(line.length - MAX_LINE_LENGTH)} more characters`));
  return code;
};
