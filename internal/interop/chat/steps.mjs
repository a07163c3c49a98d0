// What two people, and a third, do with the chat. Steps build on those before, and
// wait for what is to be seen, never for time to pass.

import assert from "node:assert/strict";

export const texts = (page) => page.locator(".log:not([hidden]) .message .text").allTextContents();
const notices = (page) => page.locator(".log:not([hidden]) .notice").allTextContents();
export const people = (page) => page.locator("#people bdi").allTextContents();
export const state = (page) => page.locator("#state").textContent();
const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.textContent);

export const same = (want, read) => async () => {
  const got = await read();
  return JSON.stringify(got) === JSON.stringify(want) || got;
};

export async function say(page, ...lines) {
  for (const line of lines) {
    await page.locator("#text").fill(line);
    await page.keyboard.press("Enter");
  }
}

// tabThrough returns what Tab comes to on its way to the end of the page.
async function tabThrough(page) {
  const stops = [];
  while (stops.at(-1) !== "body") {
    assert.ok(stops.length < 60, `a trap: ${stops}`);
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(nameOfFocus));
  }
  return stops;
}

export async function enter(world, page, name, path = "", url = world.url) {
  await page.goto(url + path);
  await page.getByLabel("Your name", { exact: true }).fill(name);
  await page.getByRole("button", { name: "Enter" }).click();
  await world.until("state", same("Connected", () => state(page)));
}

export const steps = {
  async "two come in, one with the keyboard alone"(world) {
    const ada = (world.ada = await world.person({ clock: true }));
    await ada.goto(world.url);
    assert.equal(await focused(ada), "name");
    await world.shot(ada, "gate-desktop-light");
    await world.shot(ada, "gate-desktop-dark", "dark");
    await ada.emulateMedia({ colorScheme: "light" });
    await ada.keyboard.press("Enter");
    assert.equal(await focused(ada), "name", "a name is needed");
    await ada.keyboard.type("  Ada   Lovelace ");
    await ada.keyboard.press("Enter");
    await world.until("state", same("Connected", () => state(ada)));
    assert.equal(await focused(ada), "text");

    const bob = (world.bob = await world.person({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }));
    await bob.goto(world.url);
    await world.shot(bob, "gate-phone-light");
    await enter(world, bob, "Bob");
  },

  async "both see who is here"({ ada, bob, until }) {
    for (const page of [ada, bob]) {
      await until("people", same(["Ada Lovelace", "Bob"], () => people(page)));
      await until("subtitle", same("2 people here", () => page.locator("#subtitle").textContent()));
    }
    await until("notice", async () => (await notices(ada)).includes("Bob is here"));
    assert.ok(!(await notices(bob)).includes("Ada Lovelace is here"), "she was here before him");
  },

  async "messages arrive on both sides in one order"({ ada, bob, until }) {
    const all = [];
    for (let i = 1; i <= 8; i++) {
      await Promise.all([say(ada, `a${i}`), say(bob, `b${i}`)]);
      all.push(`a${i}`, `b${i}`);
    }
    await until("all there", async () => (await texts(ada)).length === all.length && (await texts(bob)).length === all.length);
    const seen = await texts(ada);
    assert.deepEqual(await texts(bob), seen);
    assert.deepEqual(seen.toSorted(), all.toSorted());
    assert.deepEqual(seen.filter((text) => text[0] === "a"), all.filter((text) => text[0] === "a"));
    assert.equal(await bob.locator(".message.mine").count(), 8);
  },

  async "what people write stays text"({ ada, bob, until }) {
    const evil = `<img src=x onerror="document.title='got you'"><script>alert(1)</script> see https://example.org/a?b=1, ok`;
    await say(ada, evil);
    await until("text", async () => (await texts(bob)).at(-1) === evil);
    assert.equal(await bob.locator(".log img, .log script").count(), 0);
    assert.equal(await bob.locator(".log a").getAttribute("href"), "https://example.org/a?b=1");
  },

  async "typing is shown while it lasts"({ ada, bob, until }) {
    await bob.locator("#text").pressSequentially("Hm");
    await until("typing", same("Bob is typing", () => ada.locator("#typing-text").textContent()));
    assert.equal(await bob.locator("#typing-text").textContent(), "", "not to himself");
    await bob.keyboard.press("Enter");
    await until("typing", same("", () => ada.locator("#typing-text").textContent()));
  },

  async "a room is opened with the keyboard, and shared by its address"({ ada, bob, until }) {
    await ada.getByLabel("Name of a room to open").focus();
    await ada.keyboard.type("Garden");
    await ada.keyboard.press("Enter");
    await until("heading", same("Garden", () => ada.locator("#title").textContent()));
    assert.equal(await focused(ada), "text");
    await until("people", same(["Ada Lovelace"], () => people(ada)));
    await say(ada, "only here");

    await bob.goto(ada.url());
    await until("missed", same(["only here"], () => texts(bob)));
    await until("people", same(["Ada Lovelace", "Bob"], () => people(ada)));
  },

  async "what is said elsewhere is counted"({ ada, bob, until }) {
    await bob.getByRole("button", { name: "Rooms and people" }).click();
    await bob.getByRole("button", { name: "Lobby", exact: true }).click();
    await say(bob, "psst", "over here");
    await until("badge", same("2 unread", () => ada.locator(".room .badge").textContent()));
    assert.match(await ada.title(), /^\(2\) Garden/);
    await ada.getByRole("button", { name: /^Lobby/ }).press("Enter");
    assert.equal(await ada.locator(".badge:visible").count(), 0);
    assert.deepEqual((await texts(ada)).slice(-2), ["psst", "over here"]);
  },

  async "a room is left"({ ada, bob, until }) {
    await ada.getByRole("button", { name: "Leave Garden" }).press("Enter");
    assert.equal(await ada.getByRole("button", { name: /Garden/ }).count(), 0);
    assert.equal(await focused(ada), "text");
    await bob.getByRole("button", { name: "Rooms and people" }).click();
    await bob.getByRole("button", { name: "Garden", exact: true }).click();
    await until("people", same(["Bob"], () => people(bob)));
    await until("notice", async () => (await notices(bob)).at(-1) === "Ada Lovelace left");
    await bob.getByRole("button", { name: "Rooms and people" }).click();
    await bob.getByRole("button", { name: "Leave Garden" }).click();
  },

  async "the robot answers several questions at once, and is stopped"({ ada, until, shot }) {
    await ada.getByRole("button", { name: "Robot" }).press("Enter");
    await ada.getByRole("button", { name: "Tell me a story" }).press("Enter");
    await say(ada, "Another story, please", "Tell me a joke");
    const answers = ada.locator(".log:not([hidden]) .message:not(.mine) .text");
    const words = async (i) => (await answers.nth(i).textContent()).split(" ").length;
    const stops = ada.getByRole("button", { name: "Stop", exact: true });
    await until("a joke during two stories", async () => (await answers.nth(2).textContent()).endsWith("they part.") && await stops.count() === 2);
    await stops.nth(0).press("Enter");
    const remarks = ada.locator(".log:not([hidden]) .remark");
    await until("remark", same(["Stopped"], () => remarks.allTextContents()));
    const half = await words(0);
    assert.ok(half > 5 && half < 137, `${half} words`);
    const later = await words(1) + 5;
    await until("the other goes on", async () => await words(1) >= later);
    assert.equal(await words(0), half);
    await stops.nth(0).press("Enter");
    await until("silence", async () => await stops.count() === 0);
    assert.match(await ada.locator("#announce").textContent(), /^Robot: Once there was .* Stopped$/);
    assert.equal(await focused(ada), "text");
    await shot(ada, "robot-desktop-light", "light"); // now that no story can end meanwhile
    await shot(ada, "robot-desktop-dark", "dark");
    await ada.getByRole("button", { name: "Lobby", exact: true }).press("Enter");
  },

  async "the server dies, and comes back"(world) {
    const { ada, bob, until, shot, server, pauseClock } = world;
    const before = await texts(ada);
    await server("kill");
    for (const page of [ada, bob]) await until("state", same("Reconnecting…", () => state(page)));
    await say(ada, "Can anybody hear me?");
    await until("waiting", async () => await ada.locator(".log:not([hidden]) .remark").textContent() === "Waiting to be sent");
    await shot(ada, "reconnecting-desktop-light", "light");
    await shot(bob, "reconnecting-phone-dark", "dark");
    await pauseClock(ada); // she does not try again by herself
    await server("start");
    await ada.getByRole("button", { name: "Try now" }).press("Enter");
    await ada.clock.resume();
    for (const page of [ada, bob]) await until("state", same("Connected", () => state(page)));
    await until("people", same(["Ada Lovelace", "Bob"], () => people(ada)));
    await until("sent", async () => (await texts(bob)).at(-1) === "Can anybody hear me?");
    await say(bob, "Loud and clear");
    const after = [...before, "Can anybody hear me?", "Loud and clear"];
    for (const page of [ada, bob]) await until("all, and nothing twice", same(after, () => texts(page)));
    assert.equal(await ada.locator(".remark").count() - await ada.locator(".log[hidden] .remark").count(), 0);
  },

  async "who was away gets what was missed"(world) {
    const { ada, bob, until } = world;
    const eve = (world.eve = await world.person());
    let cut = null;
    let away = false;
    await eve.routeWebSocket("**/ws", (socket) => {
      if (away) return socket.close({ code: 1001 });
      socket.connectToServer();
      cut = () => socket.close({ code: 1001 });
    });
    await enter(world, eve, "Eve");
    await until("history", async () => (await texts(eve)).at(-1) === (await texts(ada)).at(-1));
    const had = await texts(eve);
    away = true;
    await eve.context().setOffline(true);
    await cut();
    await until("state", same("Offline", () => state(eve)));
    await say(ada, "Did you see this?", "And this?");
    await say(bob, "Bob here");
    const said = ["And this?", "Bob here", "Did you see this?"];
    await until("said", same(said, async () => (await texts(ada)).slice(-3).toSorted()));
    away = false;
    await eve.context().setOffline(false);
    await until("state", same("Connected", () => state(eve)));
    await until("what was missed", async () => (await texts(eve)).length === had.length + said.length || await texts(eve));
    const missed = await texts(eve);
    assert.deepEqual(missed.slice(0, had.length), had);
    assert.deepEqual(missed.slice(had.length).toSorted(), said);
    assert.ok(!(await notices(eve)).includes("Some messages may be missing here"));
    await say(bob, "Welcome back");
    await until("live", same([...missed, "Welcome back"], () => texts(eve)));
  },

  async "reloading is not leaving, going is"({ ada, bob, eve, until, pauseClock }) {
    const seen = await texts(bob);
    await pauseClock(ada); // however long he takes
    await bob.reload();
    await until("history", async () => (await texts(bob)).at(-1) === seen.at(-1));
    await until("people", same(["Ada Lovelace", "Bob", "Eve"], () => people(ada)));
    await ada.clock.resume();
    await eve.context().close();
    await until("people", same(["Ada Lovelace", "Bob"], () => people(ada)));
    await until("notice", async () => (await notices(ada)).at(-1) === "Eve left");
    assert.ok(!(await notices(ada)).includes("Bob left"));
  },

  async "the keyboard reaches everything, and shows where it is"({ ada }) {
    await tabThrough(ada); // the rest of the page
    const stops = await tabThrough(ada);
    const wanted = ["Go to the message box", "Lobby", "Open Kitchen", "Name of a room to open", "Open the room", "Robot",
      "Change your name", "Messages in Lobby", "Message to Lobby", "Send"];
    assert.deepEqual(stops.filter((stop) => wanted.includes(stop)), wanted, `in the order of the page: ${stops}`);
    assert.deepEqual(stops.filter((stop) => stop.includes("invisible")), []);
    await ada.getByRole("button", { name: "Go to the message box" }).press("Enter");
    assert.equal(await focused(ada), "text");
  },

  async "a screen reader is told what is what"({ ada, bob, until }) {
    const tree = await ada.locator("body").ariaSnapshot();
    for (const part of ['complementary "Rooms and people"', 'navigation "Rooms"', 'heading "Rooms"', 'region "In Lobby"', "main:",
      'heading "Lobby" [level=1]', "status: Connected", 'log "Messages in Lobby"', 'textbox "Message to Lobby"', 'button "Send"']) {
      assert.ok(tree.includes(part), `${part} is not in\n${tree}`);
    }
    assert.equal(await ada.locator("[aria-current=true]").textContent(), "Lobby");
    const log = bob.locator(".log:not([hidden])");
    assert.equal(await log.getAttribute("aria-live"), "polite");
    await until("calm", same("false", () => log.getAttribute("aria-busy")));
  },

  async "a phone shows one thing at a time"({ bob, until }) {
    assert.equal(await bob.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0, "nothing beside the screen");
    for (const size of await bob.locator("input, textarea").evaluateAll((all) => all.map((one) => getComputedStyle(one).fontSize))) {
      assert.ok(parseFloat(size) >= 16, `phones zoom in on fields of ${size}`);
    }
    const opener = bob.getByRole("button", { name: "Rooms and people" });
    await opener.click();
    assert.equal(await focused(bob), "close-side");
    assert.equal(await bob.locator("#talk").evaluate((talk) => talk.inert), true);
    await bob.keyboard.press("Escape");
    assert.equal(await focused(bob), "open-side");
    assert.equal(await opener.getAttribute("aria-expanded"), "false");
    await opener.click();
    await bob.mouse.click(380, 400);
    await until("closed", async () => await bob.locator("#side").isVisible() === false);
  },

  async "a long message is kept in bounds"({ ada, bob, until }) {
    const long = "x".repeat(2000);
    await ada.locator("#text").fill(`${long}y`);
    assert.equal(await ada.locator("#text").inputValue(), long);
    await ada.keyboard.press("Enter");
    await until("text", async () => (await texts(bob)).at(-1) === long);
    assert.equal(await bob.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);
    assert.equal(await bob.locator(".log:not([hidden])").evaluate((log) => log.scrollWidth - log.clientWidth), 0);
  },

  async "who reads older messages is not torn away"({ ada, bob, until }) {
    const log = bob.locator(".log:not([hidden])");
    await until("top", () => log.evaluate(async (log) => {
      log.scrollTo(0, 0); // again, if the page has just followed the message before
      for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
      return log.scrollTop === 0;
    }));
    await say(ada, "New below");
    const newer = bob.getByRole("button", { name: "New messages" });
    await newer.waitFor();
    assert.equal(await log.evaluate((log) => log.scrollTop), 0);
    await newer.click();
    await until("end", async () => await newer.isVisible() === false);
    assert.ok(await log.evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight < 2));
  },

  async "a name is changed, and a bad one refused"({ ada, bob, until }) {
    await ada.getByRole("button", { name: "Change your name" }).press("Enter");
    assert.equal(await ada.getByLabel("Your name", { exact: true }).inputValue(), "Ada Lovelace");
    await ada.evaluate(() => document.getElementById("name").removeAttribute("maxlength"));
    await ada.getByLabel("Your name", { exact: true }).fill("x".repeat(25));
    await ada.keyboard.press("Enter");
    await until("refusal", same("A name has 1 to 24 characters.", () => ada.locator("#enter-error").textContent()));
    await ada.getByLabel("Your name", { exact: true }).fill("Ada");
    await ada.keyboard.press("Enter");
    await until("people", same(["Ada", "Bob"], () => people(bob)));
    await until("notice", async () => (await notices(bob)).at(-1) === "Ada Lovelace left");
  },

  async "a page of socket.io-client is in the same rooms"(world) {
    const { ada, until, shot } = world;
    const sio = (world.sio = await world.person({ clock: true }));
    const asked = [];
    sio.on("request", (request) => asked.push(request.url()));
    await enter(world, sio, "x", "/socketio/#Workshop");
    await sio.evaluate(() => document.getElementById("name").removeAttribute("maxlength"));
    await sio.getByRole("button", { name: "Change your name" }).press("Enter");
    await sio.getByLabel("Your name", { exact: true }).fill("x".repeat(25));
    await sio.keyboard.press("Enter");
    await until("refusal", same("A name has 1 to 24 characters.", () => sio.locator("#enter-error").textContent()));
    await enter(world, sio, "Sio", "/socketio/#Workshop");
    await ada.getByRole("button", { name: "Open Workshop" }).click();
    for (const page of [ada, sio]) await until("people", same(["Ada", "Sio"], () => people(page)));

    const all = [];
    for (let i = 1; i <= 8; i++) {
      await Promise.all([say(ada, `plain ${i}`), say(sio, `socket.io ${i} <é😀>`)]);
      all.push(`plain ${i}`, `socket.io ${i} <é😀>`);
    }
    await until("all there", async () => (await texts(ada)).length === all.length && (await texts(sio)).length === all.length);
    assert.deepEqual(await texts(sio), await texts(ada));
    assert.deepEqual((await texts(ada)).toSorted(), all.toSorted());
    assert.equal(await sio.locator(".message.mine").count(), 8);
    await sio.locator("#text").pressSequentially("Hm");
    await until("typing", same("Sio is typing", () => ada.locator("#typing-text").textContent()));
    await shot(sio, "socketio-desktop-light", "light");
    assert.ok(asked.some((url) => url.includes("/socket.io/?EIO=4")));
  },

  async "the robot speaks Socket.IO, too"({ sio, until }) {
    await sio.getByRole("button", { name: "Robot" }).press("Enter");
    await say(sio, "Tell me a joke", "Tell me a story");
    const answers = sio.locator(".log:not([hidden]) .message:not(.mine) .text");
    const stops = sio.getByRole("button", { name: "Stop", exact: true });
    await until("a joke, and then a story", async () => (await answers.nth(0).textContent()).endsWith("they part.") && await stops.count() === 1);
    await until("a story", async () => (await answers.nth(1).textContent()).split(" ").length > 5);
    assert.match(await answers.nth(1).textContent(), /^Once there was/);
    await stops.nth(0).press("Enter");
    await until("remark", same(["Stopped"], () => sio.locator(".log:not([hidden]) .remark").allTextContents()));
    await sio.getByRole("button", { name: "Workshop", exact: true }).press("Enter");
  },

  async "the server dies under both, and comes back"({ ada, sio, until, server, pauseClock }) {
    const before = await texts(sio);
    await server("kill");
    for (const page of [ada, sio]) await until("state", same("Reconnecting…", () => state(page)));
    await say(sio, "Is it back?");
    for (const page of [ada, sio]) await pauseClock(page);
    await server("start");
    for (const page of [ada, sio]) {
      await page.getByRole("button", { name: "Try now" }).press("Enter");
      await page.clock.resume();
    }
    for (const page of [ada, sio]) {
      await until("state", same("Connected", () => state(page)));
      await until("all, and nothing twice", same([...before, "Is it back?"], () => texts(page)));
      await until("people", same(["Ada", "Sio"], () => people(page)));
    }
  },

  async "it looks good"(world) {
    const { ada, bob, until, shot } = world;
    const zoe = await world.person();
    await enter(world, zoe, "Zoë", "#Kitchen");
    await ada.getByRole("button", { name: "Open Kitchen" }).click();
    await bob.goto(zoe.url());
    const lines = [
      [zoe, "Morning! Who broke the coffee machine?"], [ada, "It says E-13. I looked it up: “please be patient”."],
      [ada, "So I am being patient ☕"], [bob, "I can bring tea.\nGreen or black?"], [zoe, "Green, please ♥ תודה"],
      [ada, "Black, please. The manual is at https://example.org/coffee/e-13"], [bob, "On my way"],
    ];
    for (const [page, line] of lines) {
      await say(page, line);
      for (const other of [ada, bob, zoe]) await until("line", async () => (await texts(other)).at(-1) === line);
    }
    await zoe.locator("#text").pressSequentially("Th");
    await until("typing", same("Zoë is typing", () => ada.locator("#typing-text").textContent()));
    for (const scheme of ["light", "dark"]) {
      await shot(ada, `kitchen-desktop-${scheme}`, scheme);
      await shot(bob, `kitchen-phone-${scheme}`, scheme);
      for (const page of [ada, bob]) assert.deepEqual(await page.evaluate(tooFaint), []);
      await bob.getByRole("button", { name: "Rooms and people" }).click();
      await shot(bob, `side-phone-${scheme}`);
      assert.deepEqual(await bob.evaluate(tooFaint), []);
      await bob.keyboard.press("Escape");
    }
  },
};

// nameOfFocus runs in the page. It names what has the focus, and complains if that
// is not to be seen.
function nameOfFocus() {
  const focus = document.activeElement;
  if (focus === document.body) return "body";
  const name = focus.ariaLabel ?? focus.labels?.[0]?.textContent ?? focus.textContent.trim().replace(/\s+/g, " ");
  const { outlineStyle, outlineWidth } = getComputedStyle(focus);
  const { width, height } = focus.getBoundingClientRect();
  const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && width > 10 && height > 10;
  return seen ? name : `${name}: invisible`;
}

// tooFaint runs in the page. It returns the texts whose contrast is below WCAG's 4.5.
function tooFaint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = rgba(colour).map((n) => n / 255).map((n) => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.data.trim();
    if (!text || !element.checkVisibility({ visibilityProperty: true }) || element.closest(".sr, noscript, #skip")) continue;
    const [dark, light] = [luminance(getComputedStyle(element).color), luminance(behind(element))].toSorted((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) faint.push(`${text}: ${contrast.toFixed(2)}`);
  }
  return faint;
}
