// Elements, data within the page, numbers as people read them.

/** The element of that name. */
const byId = (id) => document.getElementById(id);

/** A new element. Children are elements or text; nothing here reads markup. */
const el = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};

/** A value that stands within the page. */
const data = (id) => JSON.parse(byId(id).textContent);

const threeDigits = (number) => number.toFixed(number < 9.995 ? 2 : number < 99.95 ? 1 : 0);

/** A length of time in the unit that fits it. */
const time = (ns) => {
  if (ns < 1000) return `${ns} ns`;
  if (ns < 999500) return `${threeDigits(ns / 1e3)} µs`;
  if (ns < 999500000) return `${threeDigits(ns / 1e6)} ms`;
  return `${threeDigits(ns / 1e9)} s`;
};

/** A number with its thousands set apart. */
const count = (number) => number.toLocaleString("en-US");

const plural = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** A part of a whole. */
const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "unknown");

/** What a name shows: signs that would control the page's text are written by their number. */
const plain = (text) =>
  text.replace(/[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

/** Light or dark: the reader's choice, else that of the system. */
const theme = {
  systemIsDark: matchMedia("(prefers-color-scheme: dark)"),
  listeners: [],
  isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : this.systemIsDark.matches;
  },
  choose(name) {
    document.documentElement.dataset.theme = name;
    this.listeners.forEach((listener) => listener());
  },
  toggle() {
    this.choose(this.isDark() ? "light" : "dark");
    try {
      localStorage.setItem("pyrec-theme", document.documentElement.dataset.theme);
    } catch { /* Some browsers keep nothing for files. */ }
  },
  start() {
    try {
      const kept = localStorage.getItem("pyrec-theme");
      if (kept === "light" || kept === "dark") this.choose(kept);
    } catch { /* as above */ }
    this.systemIsDark.addEventListener("change", () => this.listeners.forEach((listener) => listener()));
    byId("theme").addEventListener("click", () => this.toggle());
  },
};

/** What a colour of the style sheet is now, for what is not drawn by it: that of an element of a class. */
const colour = (name, paint = "") => {
  const probe = document.body.appendChild(el("span", { hidden: "", class: paint }));
  probe.style.color = `var(${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
};

/** The page of keys. */
const help = {
  toggle() {
    const dialog = byId("help");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  },
  start() {
    byId("ask").addEventListener("click", () => this.toggle());
    byId("help").addEventListener("click", (event) => event.target === byId("help") && byId("help").close());
  },
};
