// What people notice only sometimes: long talks, names that others have or write from
// the right, a network that goes. Each step has its own room, and mostly its own people.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { enter, people, same, say, state, texts } from "./steps.mjs";

const visible = ".log:not([hidden])";
const noticed = (page) => page.locator(`${visible} .notice`).allTextContents();
const whoSaid = (page) => page.locator(`${visible} .message:not(.mine) .name`).evaluateAll((all) => all.map((one) => one.innerText));
const fromEnd = (page) => page.locator(visible).evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);

async function open(page, room) {
  await page.getByLabel("Name of a room to open").fill(room);
  await page.keyboard.press("Enter");
}

export const steps = {
  async "an empty room says something friendly, until somebody talks"(world) {
    const { until, shot } = world;
    const ada = (world.ada = await world.person());
    await enter(world, ada, "Ada", "#Quiet");
    await until("welcome", same(["It is quiet here. Say hello!"], () => ada.locator(`${visible} .welcome .lead`).allTextContents()));
    await shot(ada, "empty-desktop-light", "light");
    await say(ada, "hello?");
    await until("talk", same(["hello?"], () => texts(ada)));
    await until("no welcome any more", same(0, () => ada.locator(`${visible} .welcome`).count()));
  },

  async "a log follows also where old messages are taken out of it"(world) {
    const { ada, until } = world;
    await open(ada, "Long");
    await until("alone", same(["Ada"], () => people(ada)));
    const talk = async (first, n) => ada.evaluate(talkers, { room: "Long", first, n });
    await talk(0, 390);
    await until("all", async () => (await texts(ada)).at(-1) === "389");
    for (let n = 390; n < 520; n += 10) {
      await talk(n, 10);
      await until("the last", async () => (await texts(ada)).at(-1) === `${n + 9}`);
      await until("the end", async () => await fromEnd(ada) < 2);
    }
    assert.equal(await ada.getByRole("button", { name: "New messages" }).isVisible(), false);
    assert.ok((await texts(ada)).length <= 400);

    // Who reads in the middle keeps his place while what is above goes.
    const log = ada.locator(visible);
    await until("middle", () => log.evaluate(async (log) => {
      log.scrollTo(0, log.scrollHeight / 2);
      for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
      return Math.abs(log.scrollTop - log.scrollHeight / 2) < 2;
    }));
    const place = (text) => ada.locator(`${visible} .text`, { hasText: new RegExp(`^${text}$`) }).evaluate((one) => one.getBoundingClientRect().top);
    const before = await place(320);
    await talk(520, 20);
    await until("the last", async () => (await texts(ada)).at(-1) === "539");
    assert.ok(Math.abs(await place(320) - before) < 2, `it was at ${before} and is at ${await place(320)}`);
    await ada.getByRole("button", { name: "New messages" }).click();
    await until("the end", async () => await fromEnd(ada) < 2);
  },

  async "two people of one name are told apart"(world) {
    const { ada, until, shot } = world;
    const [one, other] = (world.bobs = [await world.person(), await world.person()]);
    await open(ada, "Twins");
    await enter(world, one, "Bob", "#Twins");
    await say(one, "I am Bob");
    await until("Bob", same(["Bob"], () => whoSaid(ada)));
    await enter(world, other, "Bob", "#Twins");
    await until("people", same(["Ada", "Bob", "Bob"], () => people(ada)));
    assert.equal(await ada.locator("#subtitle").textContent(), "3 people here");
    const [tagOfOne, tagOfOther] = await Promise.all([one, other].map((page) => page.evaluate(() => JSON.parse(localStorage.getItem("chat.tag")))));
    await say(other, "So am I");
    const both = [`Bob ${tagOfOne}`, `Bob ${tagOfOther}`];
    await until("tags", same(both, () => whoSaid(ada)));
    const shown = (name) => ada.locator("#people li", { hasText: name }).isVisible();
    await until("tags among people", async () => (await Promise.all(both.map(shown))).every(Boolean));
    assert.match((await noticed(ada)).at(-1), new RegExp(`^Bob ${tagOfOther} is here$`));
    assert.equal(await ada.locator("#people .who .tag").count(), 2);
    assert.equal(await other.locator("#people li", { hasText: "(you)" }).count(), 1);
    await other.locator("#text").pressSequentially("Hm");
    const typing = (page) => until("typing", same(`Bob ${tagOfOther} is typing`, () => page.locator("#typing-text").innerText()));
    await Promise.all([ada, one].map(typing)); // for it does not stay
    const hues = await ada.locator("#people .avatar").evaluateAll((all) => all.map((one) => one.style.getPropertyValue("--hue")));
    assert.equal(new Set(hues).size, 3, `colours: ${hues}`);
    await shot(ada, "twins-desktop-light", "light");

    const tab = await other.context().newPage(); // another tab is not another Bob
    await tab.goto(other.url());
    await until("connected", same("Connected", () => state(tab)));
    await until("people", same(["Ada", "Bob", "Bob"], () => people(tab)));
    await tab.close();
    await other.context().close();
    await until("notice", async () => (await noticed(ada)).at(-1) === `Bob ${tagOfOther} left`);
  },

  async "names that are written from the right stand where others do"(world) {
    const { ada, until, shot } = world;
    const noa = await world.person();
    await open(ada, "גינה");
    await until("alone", same(["Ada"], () => people(ada)));
    await enter(world, noa, "נועה (1)", "#גינה");
    await until("notice", async () => (await noticed(ada)).at(-1) === "נועה (1) is here");
    await noa.locator("#text").pressSequentially("ש");
    await until("typing", same("נועה (1) is typing", () => ada.locator("#typing-text").innerText()));
    for (const [where, after] of [["#typing-text", "is typing"], [`${visible} .notice`, "is here"]]) { // who types stops soon
      const [name, rest] = await ada.locator(where).last().evaluate(sides, after);
      assert.ok(name.right <= rest.left + 1, `${where}: the name ends at ${name.right}, what it does begins at ${rest.left}`);
    }
    await shot(ada, "right-to-left-desktop-light", "light");
    const { name, avatar } = await ada.locator("#people li", { hasText: "נועה" }).evaluate((item) => {
      const box = (css) => item.querySelector(css).getBoundingClientRect();
      return { name: box("bdi").left, avatar: box(".avatar").right };
    });
    assert.ok(name - avatar < 16, `the name begins ${name - avatar} pixels beside its picture`);
    const start = (css) => ada.locator(css).evaluate((one) => {
      const range = document.createRange();
      range.selectNodeContents(one);
      return range.getBoundingClientRect().left - one.getBoundingClientRect().left;
    });
    for (const css of ["#title", ".room[aria-current] .grow"]) assert.ok(await start(css) < 2, `${css} begins at ${await start(css)}`);
    assert.equal(await noa.locator("#people li").nth(1).evaluate((item) => item.lastChild.textContent), "(you)");
    await noa.context().close();
  },

  async "one may keep one's name, and stays connected meanwhile"(world) {
    const { ada, until, shot } = world;
    const [bob] = world.bobs;
    await open(ada, "Names");
    await open(bob, "Names");
    await until("people", same(["Ada", "Bob"], () => people(ada)));
    const gate = ada.getByLabel("Your name", { exact: true });
    const leave = { key: () => ada.keyboard.press("Escape"), button: () => ada.getByRole("button", { name: "Keep my name" }).click() };
    for (const [how, go] of Object.entries(leave)) {
      await ada.getByRole("button", { name: "Change your name" }).press("Enter");
      await gate.fill("Somebody");
      if (how === "key") await shot(ada, "rename-desktop-light", "light");
      await say(bob, `meanwhile, ${how}`);
      await go();
      await until("talk", async () => (await texts(ada)).at(-1) === `meanwhile, ${how}`);
      assert.equal(await state(ada), "Connected");
      assert.equal(await ada.evaluate(() => document.activeElement.id), "rename");
      assert.equal(await ada.locator("#you").textContent(), "Ada");
    }
    await ada.getByRole("button", { name: "Change your name" }).press("Enter");
    await ada.evaluate(() => document.getElementById("name").removeAttribute("maxlength"));
    await gate.fill("x".repeat(25));
    await ada.keyboard.press("Enter");
    await until("refusal", same("A name has 1 to 24 characters.", () => ada.locator("#enter-error").textContent()));
    await ada.keyboard.press("Escape");
    await until("state", same("Connected", () => state(ada)));
    await until("people", same(["Ada", "Bob"], () => people(bob)));
    assert.deepEqual((await noticed(bob)).filter((text) => text.startsWith("Ada left")), []);

    const new_ = await world.person();
    await new_.goto(world.url);
    assert.equal(await new_.getByRole("button", { name: "Keep my name" }).isVisible(), false, "who has none keeps none");
    await new_.keyboard.press("Escape");
    assert.equal(await new_.getByLabel("Your name", { exact: true }).isVisible(), true);
    await new_.context().close();
  },

  async "Escape stops the robot"(world) {
    const { ada, until, shot } = world;
    await ada.getByRole("button", { name: "Robot" }).press("Enter");
    await say(ada, "Tell me a story", "Another story");
    const stops = ada.getByRole("button", { name: "Stop", exact: true });
    const answers = ada.locator(`${visible} .message:not(.mine) .text`);
    await until("both", async () => await stops.count() === 2 && (await answers.nth(1).textContent()).split(" ").length > 5);
    assert.ok(await ada.getByText("Esc stops the robot.").isVisible());
    await ada.keyboard.press("Escape"); // before a story ends
    await until("silence", same(["Stopped", "Stopped"], () => ada.locator(`${visible} .remark`).allTextContents()));
    await shot(ada, "escape-desktop-light", "light");
    assert.equal(await stops.count(), 0);
    await ada.getByRole("button", { name: "Lobby", exact: true }).press("Enter");
    assert.equal(await ada.getByText("Esc stops the robot.").isVisible(), false);
  },

  async "a network that goes is seen at once, and one that was away for a moment costs nothing"(world) {
    const { until, shot } = world;
    const eve = await world.person();
    const held = []; // what would go through, were there a network
    let away = false;
    let connections = 0;
    const through = (send) => (message) => (away ? held.push(() => send(message)) : send(message));
    await eve.routeWebSocket("**/ws", (near) => {
      connections++;
      const far = near.connectToServer();
      near.onMessage(through((message) => far.send(message)));
      far.onMessage(through((message) => near.send(message)));
    });
    await enter(world, eve, "Eve", "#Tunnel");
    await until("alone", same(["Eve"], () => people(eve)));
    away = true;
    await eve.context().setOffline(true);
    await eve.waitForFunction(() => document.getElementById("state").textContent === "Offline", null, { timeout: 10_000 }); // no ping would show it that soon
    await shot(eve, "offline-desktop-light", "light");
    await say(eve, "Is there light?");
    away = false;
    await eve.context().setOffline(false);
    for (const send of held) send();
    await until("state", same("Connected", () => state(eve)));
    await until("said", same(["Is there light?"], () => texts(eve)));
    assert.equal(connections, 1);
    await eve.context().close();
  },

  async "a cable that is pulled while the robot speaks costs no word, and no message"(world) {
    const { until, shot } = world;
    const [max, eve] = [await world.person(), await world.person()];
    await enter(world, max, "Max", "#Cable", world.urls[1]); // by a proxy
    await enter(world, eve, "Eve", "#Cable");
    await until("people", same(["Eve", "Max"], () => people(eve)));
    await max.getByRole("button", { name: "Robot" }).press("Enter");
    await say(max, "Tell me a story");
    const answer = max.locator(`${visible} .message:not(.mine) .text`);
    await until("words", async () => (await answer.textContent()).split(" ").length > 5);
    await world.server("cut");
    await until("state", same("Reconnecting…", () => state(max)));
    await say(eve, "Who pulled the cable?");
    await until("said", same(["Who pulled the cable?"], () => texts(eve)));
    assert.equal(await answer.count(), 1);
    await world.server("heal");
    await max.getByRole("button", { name: "Try now" }).press("Enter");
    await until("state", same("Connected", () => state(max)));
    await until("back", async () => (await noticed(max)).at(-1) === "Back again, and nothing was missed");
    await shot(max, "back-desktop-light", "light");
    const script = await readFile(new URL("../../../examples/chat/robot/robot.txt", import.meta.url), "utf8");
    const story = script.match(/^story: (.*)$/m)[1];
    await until("the whole story", same(story, () => answer.textContent()));
    assert.deepEqual(await max.locator(`${visible} .remark`).allTextContents(), []);
    await max.getByRole("button", { name: /^Cable/ }).first().press("Enter");
    assert.deepEqual(await texts(max), ["Who pulled the cable?"]);
    await say(max, "I did");
    await until("said", same(["Who pulled the cable?", "I did"], () => texts(eve)));
    assert.deepEqual((await noticed(eve)).filter((text) => text.startsWith("Max")), []);
    for (const page of [max, eve]) await page.context().close();
  },

  async "nothing comes from elsewhere, and a part that is missing leaves no empty page"(world) {
    const { until } = world;
    for (const [path, part] of [["/socketio/", "**/socket.io.js"], ["/", "**/wsrouter.js"]]) {
      const context = (await world.person()).context();
      const page = await context.newPage(); // whose console may complain
      const asked = [];
      page.on("request", (request) => asked.push(new URL(request.url()).host));
      await page.route(part, (route) => route.fulfill({ status: 404 }));
      await page.goto(world.url + path);
      await until("words", () => page.getByText("The chat is loading.").isVisible());
      await page.unroute(part);
      await page.reload();
      await until("gate", () => page.getByLabel("Your name", { exact: true }).isVisible());
      assert.equal(await page.getByText("The chat is loading.").count(), 0);
      assert.deepEqual([...new Set(asked)], [new URL(world.url).host]);
      await context.close();
    }
  },
};

// talkers runs in the page: as many people as it takes say numbers, in their order.
async function talkers({ room, first, n }) {
  const { connect } = await import("/wsrouter/wsrouter.js");
  const each = 150; // below what the server takes at once
  for (let from = first; from < first + n; from += each) {
    const client = connect(new URL("/ws", location.href), { auth: { name: `Talker ${from}` } });
    await client.ready();
    await client.call("join", { room });
    const numbers = Array.from({ length: Math.min(each, first + n - from) }, (_, i) => from + i);
    await Promise.all(numbers.map((i) => client.call("say", { room, text: `${i}` })));
    client.close();
  }
}

// sides runs in the page, on an element with a name and words after it: where they are.
function sides(element, after) {
  const rect = (node, from, to) => {
    const range = document.createRange();
    range.setStart(node, from);
    range.setEnd(node, to);
    return range.getBoundingClientRect();
  };
  const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walk.nextNode()) {
    const { currentNode: node } = walk;
    const name = node.data.indexOf("נועה");
    if (name >= 0) found[0] = rect(node, name, name + "נועה".length);
    const at = node.data.indexOf(after);
    if (at >= 0) found[1] = rect(node, at, at + after.length);
  }
  return found;
}
