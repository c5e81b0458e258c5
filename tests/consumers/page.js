// Opens a page in headless Chromium and operates it as a reader would.
//
//     node page.js MODULES CHROMIUM PAGE[#WHERE] STEP…
//
// Steps: `press KEY`, `type TEXT`, `click SELECTOR`, `media FEATURE VALUE`, `size WIDTH HEIGHT`, `shot FILE.png`, `print FILE.pdf`,
// and `read EXPRESSION`. Prints `{"read": […], "messages": […], "requests": […]}`: the values of the expressions; the errors,
// warnings and dialogs; and the URLs that were requested from a network.

const [modules, chromium, page, ...steps] = process.argv.slice(2);
const puppeteer = require(`${modules}/puppeteer-core`);
const path = require("path");
const url = require("url");

const run = async (browser) => {
  const tab = await browser.newPage();
  const result = { read: [], messages: [], requests: [] };
  tab.on("console", (message) => ["error", "warn"].includes(message.type()) && result.messages.push(message.text()));
  tab.on("pageerror", (error) => result.messages.push(String(error)));
  tab.on("dialog", (dialog) => (result.messages.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  tab.on("request", (request) => request.url().startsWith("file:") || result.requests.push(request.url()));
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
    else if (verb === "read") result.read.push(await tab.evaluate(rest));
    else throw new Error(`there is no step '${verb}'`);
    if (verb !== "read") await settled();
  }
  return result;
};

(async () => {
  const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: ["--no-sandbox"] });
  try {
    console.log(JSON.stringify(await run(browser)));
  } finally {
    await browser.close();
  }
})();
