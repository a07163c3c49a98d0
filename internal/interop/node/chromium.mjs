// Plays the table in a page with the browser's own WebSocket:
// node chromium.mjs PAGE URL FOREIGN EXTENSIONS
// PAGE is a page of URL's origin that serves this folder beside it; FOREIGN is
// the same namespace under another origin. It prints the results as JSON.

import { chromium } from "playwright-core";

const [page, url, foreignURL, extensions] = process.argv.slice(2);

// A new browser would otherwise ask for updates, at hosts that tests must not need.
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-quic", "--disable-gpu", "--no-first-run"];

const patience = 180_000; // ms for the browser to come up, and its page
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: quiet, timeout: patience });
try {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(patience);
  await tab.goto(page);
  const results = await tab.evaluate(playInPage, { url, foreignURL, extensions });
  console.log(JSON.stringify(results));
} finally {
  await browser.close();
}

// playInPage runs in the page and sees nothing of this file.
async function playInPage({ url, foreignURL, extensions }) {
  const { table, foreign } = await import("/table.mjs");
  const { play } = await import("/transcript.mjs");
  return [
    ...await play(table, { WebSocket, url, extensions, statuses: false }),
    ...await play(foreign, { WebSocket, url: foreignURL, extensions, statuses: false }),
  ];
}
