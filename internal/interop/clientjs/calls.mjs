// Rows of calls and streams that the client asks for.

import { collect, equal, fails, throws, until } from "./play.mjs";

const anHour = 3_600_000;

export const calls = [
  ["call", "many at once, each its own answer", async (stage) => {
    const { client } = await stage.open("/ws");
    const numbers = Array.from({ length: 100 }, (_, i) => i + 1);
    const streams = numbers.slice(0, 5).map((n) => collect(client.pull("count", { to: n, every_ms: 1 })));
    equal(await Promise.all(numbers.map((n) => client.call("events", n))), numbers);
    equal(await Promise.all(streams), [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5]]);
  }],
  ["call", "of an event that nobody handles", async (stage) => {
    const { client } = await stage.open("/ws");
    await fails(client.call("nobody"), { name: "WsError", code: "not_found" });
  }],
  ["call", "is cancelled by its signal", async (stage) => {
    const peer = (await stage.open("/ws")).hear("exception", "slow");
    const { signal, abort, listening } = watchedSignal();
    const call = peer.client.call("slow", { ms: anHour }, { signal });
    equal(listening(), 1);
    const reason = new Error("enough");
    abort(reason);
    await fails(call, reason);
    equal(listening(), 0);
    equal(peer.sent.at(-1), '{"id":1,"cancel":true}');
    await peer.client.call("events", "its handler has given up its turn");
    equal(peer.received.filter((text) => text.includes('"re":1')).length, 1);
    equal(peer.events.length, 0);
  }],
  ["call", "is not sent if its signal is aborted", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    const reason = new Error("no");
    await fails(client.call("events", 1, { signal: AbortSignal.abort(reason) }), reason);
    await fails(client.pull("count", 1, { signal: AbortSignal.abort(reason) }).next(), reason);
    equal(sent, []);
  }],
  ["call", "leaves no listener at its signal", async (stage) => {
    const { client } = await stage.open("/ws");
    const { signal, listening } = watchedSignal();
    await client.call("events", 1, { signal, timeout: anHour });
    await fails(client.call("fail", 1, { signal }), { code: "E_FAIL" });
    await collect(client.pull("numbers", 1, { signal }));
    const unencodable = client.call("events", 1n, { signal });
    await fails(unencodable, { name: "TypeError" });
    equal(listening(), 0);
  }],
  ["call", "times out", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    const err = await fails(client.call("slow", { ms: anHour }, { timeout: 20 }), { name: "TimeoutError" });
    equal(err instanceof DOMException, true);
    equal(sent.at(-1), '{"id":1,"cancel":true}');
    equal(await client.call("events", "next", { timeout: Infinity }), "next");
  }],
  ["call", "answered by a stream", async (stage) => {
    const peer = (await stage.open("/ws")).hear("events", "count", "exception");
    await fails(peer.client.call("count", { to: 0, every_ms: 1 }), { name: "Error", message: "count is answered by a stream: use pull" });
    equal(peer.sent.at(-1), '{"id":1,"cancel":true}');
    await peer.client.call("events", 1);
    equal(peer.events.length, 0);
  }],
  ["call", "wants an event", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    await throws(() => client.emit(""), { name: "TypeError" });
    await throws(() => client.on(undefined, () => {}), { name: "TypeError" });
    await fails(client.call(), { name: "TypeError" });
    await fails(client.pull(7).next(), { name: "TypeError" });
    equal(sent, []);
  }],

  ["pull", "a plain answer, an empty one, an exception", async (stage) => {
    const { client } = await stage.open("/ws");
    equal(await collect(client.pull("events", "hi")), ["hi"]);
    equal(await collect(client.pull("say", { room: "r", text: "t" })), []);
    await fails(collect(client.pull("fail")), { name: "WsError", code: "E_FAIL", data: { retry: true } });
  }],
  ["pull", "sends nothing until it is iterated", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    client.pull("count", { to: 0 });
    await client.pull("count", { to: 0 }).return();
    equal(sent, []);
  }],
  ["pull", "is cancelled by break", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    for await (const n of client.pull("count", { to: 0, every_ms: 0 })) if (n === 40) break;
    equal(sent.at(-1), '{"id":1,"cancel":true}');
    await until(() => client.call("stats"), ({ streams }) => streams === 0, "end of the stream");
  }],
  ["pull", "is cancelled by what the loop throws", async (stage) => {
    const { client } = await stage.open("/ws");
    const ouch = new Error("ouch");
    const loop = async () => {
      for await (const n of client.pull("count", { to: 0, every_ms: 0 })) if (n === 3) throw ouch;
    };
    await fails(loop(), ouch);
    await until(() => client.call("stats"), ({ streams }) => streams === 0, "end of the stream");
  }],
  ["pull", "is cancelled by its signal, waiting for an item or not", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    const { signal, abort, listening } = watchedSignal();
    const items = client.pull("count", { to: 0, every_ms: 0 }, { signal });
    equal(await items.next(), { value: 1, done: false });
    const others = client.pull("count", { to: 0, every_ms: anHour }, { signal }).next();
    equal(listening(), 2);
    abort("enough");
    await fails(others, "enough");
    await fails(items.next(), "enough"); // whatever it had received
    equal(await items.next(), { done: true });
    equal([listening(), ...sent.slice(-2)], [0, '{"id":1,"cancel":true}', '{"id":2,"cancel":true}']);
    await until(() => client.call("stats"), ({ streams }) => streams === 0, "end of the streams");
  }],
  ["pull", "20 streams are cancelled", async (stage) => {
    const { client } = await stage.open("/ws");
    const take = async () => {
      for await (const n of client.pull("count", { to: 0, every_ms: 0 })) if (n === 20) return n;
    };
    equal(await Promise.all(Array.from({ length: 20 }, take)), Array(20).fill(20));
    await until(() => client.call("stats"), ({ streams }) => streams === 0, "end of the streams");
  }],
  ["pull", "one stream stalled, another flows", async (stage) => {
    const { client } = await stage.open("/ws");
    const stalled = client.pull("count", { to: 200, every_ms: 0 });
    equal((await stalled.next()).value, 1);
    equal((await collect(client.pull("count", { to: 200, every_ms: 0 }))).length, 200);
    equal(await client.call("events", "hi"), "hi");
    equal((await collect(stalled)).length, 199);
  }],
  ...[1, 2, 3, 16, 100].map((window) => ["pull", `holds the producer to a window of ${window}`, async (stage) => {
    const { client, sent } = await stage.open("/own");
    let taken = 0;
    for await (const n of client.pull("produce", null, { window })) {
      equal(n, ++taken);
      // Round trips enough for a producer that could go on.
      for (let i = 0; i < 3; i++) {
        const ahead = await client.call("produced") - taken;
        if (ahead > window) throw new Error(`the producer is ${ahead} items ahead`);
      }
      if (taken === 3 * window) break;
    }
    const credits = sent.filter((text) => text.includes('"pull":')).map((text) => JSON.parse(text).pull);
    equal(credits[0], window);
    equal(credits.slice(1).every((n) => n === Math.ceil(window / 2)), true);
  }]),
  ["pull", "of a window that is none", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    for (const window of [0, -1, 1.5, NaN, Infinity, "16"]) {
      await fails(client.pull("count", { to: 1 }, { window }).next(), { name: "RangeError" });
    }
    equal(sent, []);
  }],
];

// watchedSignal counts who listens.
function watchedSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set();
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (type, fn) => (listeners.add(fn), addEventListener.call(signal, type, fn));
  signal.removeEventListener = (type, fn) => (listeners.delete(fn), removeEventListener.call(signal, type, fn));
  return { signal, abort: (reason) => controller.abort(reason), listening: () => listeners.size };
}
