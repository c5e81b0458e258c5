// The data of a page: files, their lines, and the addresses of both.

/** The steps of the colour scale: three for each power of ten below the largest number. */
const LEVELS = 12;
const DECADES = 4;

/** The step of a number on the colour scale, from 1 to LEVELS; 0 for 0. */
const levelOf = (number, largest) => {
  if (!number) return 0;
  const step = Math.ceil(LEVELS * (1 + Math.log10(number / largest) / DECADES) - 1e-9);
  return Math.min(Math.max(step, 1), LEVELS);
};

/** A file: its source lines, and the columns of numbers of those lines that have some. */
class SourceFile {
  constructor(number, entry, { text, runs, ...columns }) {
    Object.assign(this, columns, { number, entry });
    this.hasText = text !== null;
    this.source = this.hasText ? text.split("\n") : [];
    this.lineRuns = this.hasText ? runs.split("\n") : [];
    this.indexes = new Map(this.line.map((line, index) => [line, index]));
    this.last = Math.max(this.source.length, this.line.at(-1) ?? 0);
  }

  /** The index of a line in the columns; undefined if the line has no numbers. */
  indexOf(line) {
    return this.indexes.get(line);
  }

  /** The functions that ran on a line, innermost first. */
  functionsOf(line) {
    if (!this.functionsByLine) {
      this.functionsByLine = new Map();
      for (const [first, name, callee, lines] of this.functions) {
        for (const line of lines) {
          if (!this.functionsByLine.has(line)) this.functionsByLine.set(line, []);
          this.functionsByLine.get(line).unshift({ first, name, callee });
        }
      }
    }
    return this.functionsByLine.get(line) ?? [];
  }

  text(line) {
    return this.source[line - 1] ?? "";
  }

  runs(line) {
    return this.lineRuns[line - 1] ?? "";
  }
}

/** All files of a page. A report's subclass has `createFile(number, entry, columns)`. */
class PageData {
  /** `entries` describe the files. The lines of a file are parsed when they are first needed. */
  constructor(entries) {
    this.entries = entries;
    this.files = [];
  }

  file(number) {
    return (this.files[number] ??= this.createFile(number, this.entries[number], embedded(`file-${number}`)));
  }

  /** The name of a line in addresses. */
  lineName(number, line) {
    return String(line);
  }

  /** The line with a name. */
  lineNamed(number, name) {
    return Number(name);
  }

  /** The address of a file, or of a line in it. */
  address(number, line) {
    const name = line ? `:${this.lineName(number, line)}` : "";
    return `#${encodeURIComponent(this.entries[number].file)}${name}`;
  }

  /** The file number and line of an address; an empty object if it names no file of the page. */
  resolve(address) {
    const [, name, line] = address.match(/^#?(.*?)(?::(-?\d+))?$/s);
    let number = -1;
    try {
      const file = decodeURIComponent(name);
      number = this.entries.findIndex((entry) => entry.file === file);
    } catch { /* The address is no valid URI component. */ }
    return number < 0 ? {} : { number, line: line ? this.lineNamed(number, line) : 0 };
  }
}
