// Opens a page in headless Chromium and does with it what a reader would.
//
//     node page.js MODULES CHROMIUM PAGE[#WHERE] STEP…
//
// Steps: `press KEY`, `type TEXT`, `click SELECTOR`, `media FEATURE VALUE`, `size WIDTH HEIGHT`, `shot FILE.png`, `print FILE.pdf`,
// and `read EXPRESSION`, which tells what that is. Prints
// `{"read": […], "said": […], "asked": […]}`: what was read, what errors, warnings and dialogs there were, and what was asked
// for over a network.

const [modules, chromium, page, ...steps] = process.argv.slice(2);
const puppeteer = require(`${modules}/puppeteer-core`);
const path = require("path");
const url = require("url");

const run = async (browser) => {
  const tab = await browser.newPage();
  const found = { read: [], said: [], asked: [] };
  tab.on("console", (message) => ["error", "warn"].includes(message.type()) && found.said.push(message.text()));
  tab.on("pageerror", (error) => found.said.push(String(error)));
  tab.on("dialog", (dialog) => (found.said.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  tab.on("request", (request) => request.url().startsWith("file:") || found.asked.push(request.url()));
  await tab.setViewport({ width: 1400, height: 900 });
  const [file, where] = page.split(/#(.*)/s);
  await tab.goto(url.pathToFileURL(path.resolve(file)).href + (where ? `#${where}` : ""));
  const settled = () => tab.evaluate(() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 150)));
  for (const step of steps) {
    const [, verb, rest] = step.match(/^(\w+) ?(.*)$/s);
    const words = rest.split(" ");
    if (verb === "press") await tab.keyboard.press(rest);
    else if (verb === "type") await tab.keyboard.type(rest);
    else if (verb === "click") await tab.click(rest);
    else if (verb === "media") await tab.emulateMediaFeatures([{ name: words[0], value: words[1] }]);
    else if (verb === "size") await tab.setViewport({ width: Number(words[0]), height: Number(words[1]) });
    else if (verb === "shot") await tab.screenshot({ path: rest });
    else if (verb === "print") await tab.pdf({ path: rest, format: "A4" });
    else if (verb === "read") found.read.push(await tab.evaluate(rest));
    else throw new Error(`there is no step '${verb}'`);
    if (verb !== "read") await settled();
  }
  return found;
};

(async () => {
  const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: ["--no-sandbox"] });
  try {
    console.log(JSON.stringify(await run(browser)));
  } finally {
    await browser.close();
  }
})();
