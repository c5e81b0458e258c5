// What a page of source lines is about: files, their lines, and where each has its address.

/** Steps of a colour scale: three for each power of ten below the largest number. */
const LEVELS = 12;
const DECADES = 4;

/** The step of a number, 0 for nothing. */
const levelOf = (number, largest) => {
  if (!number) return 0;
  const step = Math.ceil(LEVELS * (1 + Math.log10(number / largest) / DECADES) - 1e-9);
  return Math.min(Math.max(step, 1), LEVELS);
};

/** The lines of a file, with the colours of their words and the functions that came to them. */
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

  text(line) {
    return this.source[line - 1] ?? "";
  }

  runs(line) {
    return this.paints[line - 1] ?? "";
  }
}

/** All files. A report's own book says how one is read. */
class Book {
  constructor(index) {
    this.index = index;
    this.files = [];
  }

  file(number) {
    return (this.files[number] ??= this.read(number, this.index[number], data(`file-${number}`)));
  }

  /** What a line is called in an address, and which one is called so. */
  nameOf(number, line) {
    return String(line);
  }

  lineOf(number, name) {
    return Number(name);
  }

  /** The address of a file, or of a line in it. */
  address(number, line) {
    const name = line ? `:${this.nameOf(number, line)}` : "";
    return `#${encodeURIComponent(this.index[number].file)}${name}`;
  }

  /** What an address names. */
  find(address) {
    const [, name, line] = address.match(/^#?(.*?)(?::(-?\d+))?$/s);
    let number = -1;
    try {
      const file = decodeURIComponent(name);
      number = this.index.findIndex((entry) => entry.file === file);
    } catch { /* It is no address of ours. */ }
    return number < 0 ? {} : { number, line: line ? this.lineOf(number, line) : 0 };
  }
}
