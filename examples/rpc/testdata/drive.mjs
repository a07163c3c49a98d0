// Has a text engraved in the page: node drive.mjs URL [SCREENSHOT]
// It prints what the page shows in the end, as JSON.

import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../../internal/interop/node/package.json", import.meta.url))("playwright-core");
const [url, screenshot] = process.argv.slice(2);

// A new browser would otherwise ask for updates, at hosts that tests must not need.
const args = ["--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--disable-quic", "--disable-gpu", "--no-first-run"];
const patience = 60_000; // ms
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args, timeout: 3 * patience });
try {
  const tab = await browser.newPage({ viewport: { width: 900, height: 640 } });
  tab.setDefaultTimeout(patience);
  const problems = [];
  tab.on("console", (line) => line.type() === "error" && problems.push(line.text()));
  tab.on("pageerror", (err) => problems.push(err.message));
  await tab.goto(url);
  await tab.getByText("Ready").waitFor();
  await tab.locator("textarea").fill("Call me Ishmael");
  const sent = tab.waitForResponse((response) => response.url().endsWith("/v1/traces"));
  await tab.getByRole("button", { name: "Engrave" }).click();
  if (screenshot) await tab.getByText("2 of 3 words").waitFor(); // it is there for a moment only
  if (screenshot) await tab.screenshot({ path: screenshot });
  await tab.getByText("Done").waitFor();
  const [plate, trace, status] = [await tab.locator("#plate").textContent(), await tab.locator("code").textContent(), (await sent).status()];
  console.log(JSON.stringify({ plate, trace, status, problems }));
} finally {
  await browser.close();
}
