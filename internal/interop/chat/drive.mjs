// Plays steps in headless Chromium: node drive.mjs STEPS FOLDER URL…, one for each
// server. It prints one line of JSON a step, {"title", "error"}, and stops at the
// first that fails. {"server":"kill"} and the like are for the test that runs it,
// which answers with a line when that is done. Screenshots go into FOLDER.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";

const { chromium } = createRequire(new URL("../node/package.json", import.meta.url))("playwright-core");
const [script, folder, ...urls] = process.argv.slice(2);
const { steps } = await import(script);
const patience = 60_000; // ms for anything to be seen

// A new browser would otherwise ask for updates, at hosts that tests must not need.
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-quic", "--disable-gpu", "--no-first-run"];

const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function server(what) {
  world.serverDied = true;
  print({ server: what });
  await answers.next();
}

// person opens the chat in a browser of his own: nothing is shared but the server.
// The timers of one with a clock stand still from pauseClock to resume.
async function person({ clock = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1240, height: 800 }, reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(patience);
  if (clock) await context.clock.install();
  const page = await context.newPage();
  world.pages.push(page);
  page.on("pageerror", (error) => world.errors.push(String(error)));
  page.on("console", (message) => {
    // Chromium itself complains of a server that is not there, and, as when a name
    // is changed while Socket.IO still connects, of a WebSocket that the page closes
    // meanwhile and of a poll that finds its session closed.
    const expected = (world.serverDied && /net::ERR_(CONNECTION_\w+|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING|SOCKET_NOT_CONNECTED)/.test(message.text())) ||
      /WebSocket is closed before the connection is established/.test(message.text()) ||
      (/status of 400/.test(message.text()) && /\/socket\.io\/\?.*sid=/.test(message.location().url));
    if (["error", "warning"].includes(message.type()) && !expected) world.errors.push(message.text());
  });
  return page;
}

// until waits for something to become true; told says what it was instead.
async function until(what, check) {
  const deadline = Date.now() + patience;
  for (;;) {
    const got = await check();
    if (got === true) return;
    if (Date.now() > deadline) throw new Error(`${what}: ${JSON.stringify(got)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// pauseClock jumps a moment ahead, since it cannot stop where it is.
async function pauseClock(page) {
  await page.clock.pauseAt(await page.evaluate(() => Date.now()) + 10_000);
}

async function shot(page, name, scheme) {
  if (scheme) await page.emulateMedia({ colorScheme: scheme });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: quiet, timeout: 3 * patience });
const world = { url: urls[0], urls, pages: [], errors: [], serverDied: false, person, until, shot, server, pauseClock };
try {
  for (const [title, step] of Object.entries(steps)) {
    try {
      await step(world);
      if (world.errors.length) throw new Error(`the console says: ${world.errors.join("\n")}`);
      world.serverDied = false;
      print({ title });
    } catch (error) {
      for (const [i, page] of world.pages.entries()) await shot(page, `failure-${i}`).catch(() => {}); // one that is gone
      print({ title, error: error.stack });
      break;
    }
  }
} finally {
  await browser.close();
}
process.exit(0); // stdin is open still
