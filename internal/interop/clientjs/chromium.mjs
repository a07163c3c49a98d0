// Plays all rows in a page with the browser's own WebSocket:
// node chromium.mjs HOST LINE
// It prints the results as JSON.

import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../node/package.json", import.meta.url))("playwright-core");
const [host, line] = process.argv.slice(2);

// A new browser would otherwise ask for updates, at hosts that tests must not need.
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-quic", "--disable-gpu", "--no-first-run"];

const patience = 180_000; // ms for the browser to come up, and its page
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: quiet, timeout: patience });
try {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(patience);
  await tab.goto(`http://${host}/page.html`);
  console.log(JSON.stringify(await tab.evaluate(playInPage, { host, line })));
} finally {
  await browser.close();
}

// playInPage runs in the page and sees nothing of this file.
async function playInPage({ host, line }) {
  const lib = await import("/wsrouter/wsrouter.js");
  const { play } = await import("/play.mjs");
  const { rows, pageRows } = await import("/rows.mjs");
  const unhandled = () => new Promise((resolve) => {
    addEventListener("unhandledrejection", (event) => resolve(event.reason), { once: true });
  });
  return play([...rows, ...pageRows], { lib, WebSocket, host, line, unhandled });
}
