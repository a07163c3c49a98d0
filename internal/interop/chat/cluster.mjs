// What two people do with the chat whose pages come from different servers.

import assert from "node:assert/strict";
import { enter, people, same, say, state, texts } from "./steps.mjs";

export const steps = {
  async "two come in, each at another server"(world) {
    const ada = (world.ada = await world.person());
    const bob = (world.bob = await world.person());
    await enter(world, ada, "Ada");
    await enter(world, bob, "Bob", "", world.urls[1]);
    for (const page of [ada, bob]) await world.until("people", same(["Ada", "Bob"], () => people(page)));
    await say(ada, "hello");
    await world.until("Bob hears", same(["hello"], () => texts(bob)));
    await say(bob, "hi");
    await world.until("Ada hears", same(["hello", "hi"], () => texts(ada)));
  },

  async "Bob's server loses Redis, and he is told that he cannot talk"(world) {
    const { ada, bob } = world;
    await world.server("cut");
    await say(bob, "lost?");
    await world.until("trouble", same("The room cannot be reached. Try again.", () => bob.locator("#trouble").textContent()));
    assert.equal(await bob.locator("#text").inputValue(), "lost?", "he need not type it again");
    assert.equal(await state(bob), "Connected");
    await say(ada, "one", "two");
    await world.until("Ada sees hers", same(["hello", "hi", "one", "two"], () => texts(ada)));
    await world.until("Bob is alone", same(["Bob"], () => people(bob)));
    assert.deepEqual(await texts(bob), ["hello", "hi"]);
  },

  async "it is back, and what he has missed comes with the next message"(world) {
    const { ada, bob } = world;
    await world.server("heal");
    await world.until("they are together again", same(["Ada", "Bob"], () => people(bob)));
    await say(ada, "three");
    const all = ["hello", "hi", "one", "two", "three"];
    await world.until("Bob has all", same(all, () => texts(bob)));
    await bob.keyboard.press("Enter"); // his words are there still
    for (const page of [ada, bob]) await world.until("all", same([...all, "lost?"], () => texts(page)));
  },

  async "Ada's server dies, and Bob sees that she is gone"(world) {
    await world.server("kill");
    await world.until("people", same(["Bob"], () => people(world.bob)));
  },
};
