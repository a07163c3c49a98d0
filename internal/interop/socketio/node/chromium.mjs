// Plays the gateway's table in a page with the browser bundle that is in the npm
// package: node chromium.mjs ORIGIN NAMESPACE TRANSPORT…
// ORIGIN serves this folder and, beside it, the gateway. It prints the results as
// JSON.

import { chromium } from "playwright-core";

const [origin, namespace, ...transports] = process.argv.slice(2);

// A new browser would otherwise ask for updates, at hosts that tests must not need.
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-quic", "--disable-gpu", "--no-first-run"];

const patience = 180_000; // ms for the browser to come up, and its page
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: quiet, timeout: patience });
try {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(patience);
  await tab.goto(`${origin}/page.html`);
  const results = [];
  for (const transport of transports) {
    const played = await tab.evaluate(playInPage, { namespace, transport });
    results.push(...played.map((row) => ({ ...row, title: `${transport}: ${row.title}` })));
  }
  console.log(JSON.stringify(results));
} finally {
  await browser.close();
}

// playInPage runs in the page and sees nothing of this file.
async function playInPage({ namespace, transport }) {
  const { table } = await import("/table.mjs");
  const { play } = await import("/peer.mjs");
  const transports = transport === "default" ? undefined : [transport];
  return play(table, { io: window.io, url: location.origin, namespace, transports });
}
