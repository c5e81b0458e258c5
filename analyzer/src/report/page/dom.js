// DOM elements, embedded data, number formatting, the theme, and the key help.

/** The element with an id. */
const byId = (id) => document.getElementById(id);

/** Creates an element. Children are elements or text; strings are never parsed as HTML. */
const el = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
};

/** Parses the JSON that the page embeds under an id. */
const embedded = (id) => JSON.parse(byId(id).textContent);

const threeDigits = (number) => number.toFixed(number < 9.995 ? 2 : number < 99.95 ? 1 : 0);

/** A duration with three digits in a fitting unit. */
const time = (ns) => {
  if (ns < 1000) return `${ns} ns`;
  if (ns < 999500) return `${threeDigits(ns / 1e3)} µs`;
  if (ns < 999500000) return `${threeDigits(ns / 1e6)} ms`;
  return `${threeDigits(ns / 1e9)} s`;
};

/** A number with thousands separators. */
const count = (number) => number.toLocaleString("en-US");

const plural = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** A fraction in percent. */
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "unknown");

/** Escapes control characters and characters that change the direction of text. */
const plain = (text) =>
  text.replace(/[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]/gu, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);

/** Light or dark: the reader's choice, or the system's if there is none. */
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
    } catch { /* Some browsers have no storage for file: URLs. */ }
  },
  start() {
    try {
      const stored = localStorage.getItem("pyrec-theme");
      if (stored === "light" || stored === "dark") this.choose(stored);
    } catch { /* Some browsers have no storage for file: URLs. */ }
    this.systemIsDark.addEventListener("change", () => this.listeners.forEach((listener) => listener()));
    byId("theme").addEventListener("click", () => this.toggle());
  },
};

/**
 * The current value of a colour variable of the style sheet, for the canvas: for an element with
 * the class, if one is given.
 */
const colour = (variable, className = "") => {
  const probe = document.body.appendChild(el("span", { hidden: "", class: className }));
  probe.style.color = `var(${variable})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
};

/** The dialog with the key bindings. */
const help = {
  toggle() {
    const dialog = byId("help");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  },
  start() {
    byId("show-keys").addEventListener("click", () => this.toggle());
    byId("help").addEventListener("click", (event) => event.target === byId("help") && byId("help").close());
  },
};
