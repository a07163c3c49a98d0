// Rows of what our server does not send, and of times that no test can wait for. A
// FakeSocket is the WebSocket and the server behind it.

import { collect, equal, fails, throws } from "./play.mjs";

export class FakeSocket extends EventTarget {
  static last;
  static made = 0;

  sent = [];
  closed = 0;

  constructor(url, protocol) {
    super();
    equal([url, protocol], ["ws://fake/ws", "wsrouter.v1"]);
    FakeSocket.last = this;
    FakeSocket.made++;
  }

  fire(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }

  deliver(...frames) {
    for (const data of frames) this.fire("message", { data });
  }

  send(text) {
    this.sent.push(text);
  }

  close() {
    this.closed++;
  }
}

export async function fake(stage, options) {
  const peer = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, ...options });
  FakeSocket.last.fire("open");
  await peer.is("connecting", "open");
  return { peer, client: peer.client, socket: FakeSocket.last };
}

// fakeTimes replaces timers by their list, [ms, fn], and chance by its extreme.
export async function fakeTimes(chance, run) {
  const real = { setTimeout, random: Math.random };
  const timers = [];
  globalThis.setTimeout = (fn, ms) => timers.push({ fn, ms });
  Math.random = () => chance;
  try {
    await run(timers);
  } finally {
    globalThis.setTimeout = real.setTimeout;
    Math.random = real.random;
  }
}

export const settled = () => new Promise((resolve) => setTimeout(resolve)); // after all microtasks

export const frames = [
  ["frames", "that are none are passed over", async (stage) => {
    const { peer, client, socket } = await fake(stage);
    peer.hear("event", "exception", "5", "undefined");
    socket.deliver("", "{", "5", "null", '"event"', "[]", "{}", '{"event":5}', '{"event":null}', '{"data":1}', '{"Event":"event"}',
      '{"pong":1}', '{"meta":{}}', '{"id":1,"cancel":true}', '{"id":1,"pull":1}', '{"re":1}', '{"re":null}', '{"event":"event","re":1}',
      new ArrayBuffer(8), '{"event":"toString"}', '{"event":"__proto__","id":1}', '{"event":"event","data":1,"x":[{}]}');
    await peer.expect(["event", 1]);
    equal(peer.events.length, 0);
    equal(client.state, "open");
    await settled();
    equal(socket.sent, ['{"event":"exception","data":{"status":"error","message":"no such event","code":"not_found"},"re":1}']);
  }],
  ["meta", "goes beside the data, of the client and then of the call", async (stage) => {
    const { client, socket } = await fake(stage, { meta: (event) => ({ traceparent: `of ${event}`, a: "1" }) });
    client.emit("e");
    client.emit("e", 1, { meta: { a: "2" } });
    client.call("c", 1).catch(() => {});
    client.call("c", 1, { meta: () => ({ b: "3" }) }).catch(() => {});
    client.pull("p", 1, { meta: { traceparent: "mine" } }).next().catch(() => {});
    equal(socket.sent, [
      '{"event":"e","meta":{"traceparent":"of e","a":"1"}}',
      '{"event":"e","data":1,"meta":{"traceparent":"of e","a":"2"}}',
      '{"event":"c","data":1,"meta":{"traceparent":"of c","a":"1"},"id":1}',
      '{"event":"c","data":1,"meta":{"traceparent":"of c","a":"1","b":"3"},"id":2}',
      '{"event":"p","data":1,"meta":{"traceparent":"mine","a":"1"},"pull":16,"id":3}',
    ]);
  }],
  ["meta", "is read by the server, and comes back with what it sends", async (stage) => {
    const { client } = await stage.open("/own", { meta: () => ({ traceparent: "é\n" }) });
    const got = [];
    client.on("asked", (data, { meta }) => { got.push(meta); });
    equal(await client.call("meta", "traceparent"), "é\n");
    equal(await collect(client.pull("meta", "a", { meta: { a: "1" } })), ["1"]);
    equal(await client.call("meta", "a"), "");
    await client.call("ask meta");
    equal(got, [{ traceparent: "é\n" }, { traceparent: "é\n" }]);
  }],
  ["meta", "is never a reason not to send", async (stage) => {
    const written = [];
    const { error } = console;
    console.error = (err) => written.push(err.message);
    try {
      const { client, socket } = await fake(stage, { meta: () => { throw new Error("no tracer"); } });
      for (const meta of [undefined, null, 5, "text", [], {}, { a: 1, b: {}, c: undefined, d: null }, () => {}, async () => ({ a: "1" }), { a: "x".repeat(1017) }, { a: "é".repeat(509) }]) {
        client.emit("e", 1, { meta });
      }
      client.emit("e", 1, { meta: { a: 1, b: "2" } });
      client.emit("e", 1, { meta: { a: "x".repeat(1010), b: "2", c: "3" } });
      client.emit("e", 1, { meta: { a: "x".repeat(1016) } });
      equal(socket.sent.slice(0, 11), Array(11).fill('{"event":"e","data":1}'));
      equal(socket.sent.slice(11).map((text) => text.replace(/x{9,}/, (x) => x.length)), [
        '{"event":"e","data":1,"meta":{"b":"2"}}', '{"event":"e","data":1,"meta":{"a":"1010"}}', '{"event":"e","data":1,"meta":{"a":"1016"}}',
      ]);
      equal(written.length, socket.sent.length);
      equal(written[0], "no tracer");
    } finally {
      console.error = error;
    }
  }],
  ["meta", "that does not fit does not leave what it was to replace", async (stage) => {
    const { client, socket } = await fake(stage, { meta: { tenant: "old" } });
    client.emit("e", 1, { meta: { tenant: "x".repeat(1024), a: "1" } });
    client.emit("e", 1, { meta: { tenant: "x".repeat(1024) } });
    equal(socket.sent, ['{"event":"e","data":1,"meta":{"a":"1"}}', '{"event":"e","data":1}']);
  }],
  ["meta", "of the server's events and requests is shown to listeners", async (stage) => {
    const { client, socket } = await fake(stage);
    const got = [];
    client.on("event", (data, { meta }) => { got.push(meta); });
    socket.deliver('{"event":"event","meta":{"traceparent":"00-1-2-01"}}', '{"event":"event"}', '{"event":"event","meta":null,"id":1}', '{"event":"event","meta":{"a":"b"},"id":2}');
    await settled();
    equal(got, [{ traceparent: "00-1-2-01" }, {}, {}, { a: "b" }]);
    equal(socket.sent, ['{"event":"event","re":1}', '{"event":"event","re":2}']);
  }],
  ["frames", "missing data and null differ", async (stage) => {
    const { peer, client, socket } = await fake(stage);
    peer.hear("event");
    socket.deliver('{"event":"event"}', '{"event":"event","data":null}');
    await peer.expect(["event", undefined], ["event", null]);
    client.emit("e");
    client.emit("e", null);
    const calls = [client.call("e"), client.call("e"), collect(client.pull("e")), collect(client.pull("e"))];
    socket.deliver('{"event":"e","re":1}', '{"event":"e","data":null,"re":2}', '{"event":"e","re":3}', '{"event":"e","data":null,"re":4}');
    equal([await calls[0] === undefined, await calls[1], await calls[2], await calls[3]], [true, null, [], [null]]);
    equal(socket.sent.slice(0, 3), ['{"event":"e"}', '{"event":"e","data":null}', '{"event":"e","id":1}']);
  }],
  ["frames", "answers in any order, twice, late, under any name, to ids that are not ours", async (stage) => {
    const { peer, client, socket } = await fake(stage);
    peer.hear("a", "b", "exception");
    const [a, b] = [client.call("a"), client.call("b")];
    socket.deliver('{"event":"a","data":"no","re":"1"}', '{"event":"b","data":"no","re":3}', '{"event":"x","data":"b","re":2}',
      '{"event":"b","data":"twice","re":2}', '{"event":"exception","data":{},"re":2}', '{"event":"a","data":"a","re":1}');
    equal([await a, await b], ["a", "b"]);
    equal(peer.events.length, 0);
  }],
  ["frames", "exceptions of any shape", async (stage) => {
    const { client, socket } = await fake(stage);
    for (const [i, [body, want]] of [
      [{ status: "warning", message: "m", code: "c", data: [1] }, { status: "warning", message: "m", code: "c", data: [1] }],
      [{ message: "m" }, { status: "error", message: "m", code: undefined, data: undefined }],
      ["text", { message: "exception", data: "text" }],
      [{ message: "" }, { message: "exception", data: { message: "" } }],
      [null, { message: "exception", data: null }],
      [undefined, { message: "exception", data: undefined }],
    ].entries()) {
      const call = client.call("e");
      socket.deliver(JSON.stringify({ event: "exception", data: body, re: i + 1 }));
      await fails(call, { name: "WsError", ...want });
    }
  }],
  ["frames", "more items than were pulled", async (stage) => {
    const { client, socket } = await fake(stage);
    const items = client.pull("e", null, { window: 2 });
    const first = items.next();
    socket.deliver(...[1, 2, 3, 4, 5].map((n) => `{"event":"e","data":${n},"re":1,"more":true}`));
    equal((await first).value, 1);
    await fails(collect(items), { message: "more items came than were pulled" });
    equal(socket.sent.filter((text) => text === '{"id":1,"cancel":true}').length, 1);
  }],
  ["frames", "items before a loss are still delivered", async (stage) => {
    const { client, socket } = await fake(stage);
    const items = client.pull("e");
    const first = items.next();
    socket.deliver('{"event":"e","data":1,"re":1,"more":true}', '{"event":"e","data":2,"re":1,"more":true}');
    socket.fire("close", { code: 1001, reason: "" });
    equal([(await first).value, (await items.next()).value], [1, 2]);
    await fails(items.next(), { name: "ClosedError", code: 1001 });
  }],
  ["frames", "of a connection that was lost", async (stage) => {
    const { peer, client, socket: old } = await fake(stage, { reconnect: { min: 1 } });
    peer.hear("event");
    let answer, reason;
    client.on("ask", (_, { signal }) => new Promise((resolve) => {
      answer = resolve;
      signal.addEventListener("abort", () => (reason = signal.reason));
    }));
    old.deliver('{"event":"ask","id":1}');
    old.fire("close", { code: 1006, reason: "" });
    equal([reason.name, reason.code], ["ClosedError", 1006]);
    await peer.is("waiting", "connecting");
    const { last } = FakeSocket;
    last.fire("open");
    await peer.is("open");
    answer("too late");
    old.deliver('{"event":"event","data":"too late"}');
    old.fire("close", { code: 1000, reason: "" });
    old.fire("error", {});
    await settled();
    equal([last === old, client.state, peer.events.length, last.sent, old.sent], [false, "open", 0, [], []]);
  }],
  ["frames", "a cancel of the server's, and the answer after that", async (stage) => {
    const { client, socket } = await fake(stage);
    let answer;
    client.on("ask", () => new Promise((resolve) => (answer = resolve)));
    client.on("obey", (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))));
    const { error } = console;
    console.error = () => socket.sent.push("written to the console");
    socket.deliver('{"event":"ask","id":"a"}', '{"id":"b","cancel":true}', '{"id":"a","cancel":true}', '{"id":"a","cancel":true}',
      '{"event":"obey","id":"c"}', '{"id":"c","cancel":true}');
    answer("too late");
    await settled().finally(() => (console.error = error));
    equal(socket.sent, ["a", "c"].map((id) => `{"event":"exception","data":{"status":"error","message":"canceled","code":"canceled"},"re":"${id}"}`));
  }],

  ["times", "wait longer each time, up to the cap", async (stage) => {
    for (const [chance, options, want] of [
      [0, true, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]],
      [1, true, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]],
      [1, { min: undefined, max: undefined }, [500, 1000]],
      [1, { min: 10, max: 25 }, [10, 20, 25, 25]],
      [1, { max: 700 }, [500, 700, 700]],
    ]) {
      await fakeTimes(chance, async (timers) => {
        const { client } = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, reconnect: options });
        for (const ms of want) {
          FakeSocket.last.fire("close", { code: 1006, reason: "" });
          equal([client.state, timers.at(-1).ms], ["waiting", ms]);
          timers.at(-1).fn();
          equal(client.state, "connecting");
        }
        client.close();
      });
    }
  }],
  ["times", "wait anew after a connection that has lasted", async (stage) => {
    const { now } = performance;
    let time = 0;
    performance.now = () => time;
    try {
      await fakeTimes(1, async (timers) => {
        const { client } = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, reconnect: { min: 10, max: 1000 } });
        const waits = [0, 999, 0, 1000, 0].map((lasts) => {
          FakeSocket.last.fire("open");
          time += lasts;
          FakeSocket.last.fire("close", { code: 1006, reason: "" });
          timers.at(-1).fn();
          return timers.at(-2).ms;
        });
        equal(waits, [10, 20, 40, 10, 20]);
        client.close();
      });
    } finally {
      performance.now = now;
    }
  }],
  ["times", "a ping when nothing came, and an end when nothing follows", async (stage) => {
    const { now } = performance;
    let time = 0;
    performance.now = () => time;
    try {
      await fakeTimes(1, async (timers) => {
        const { client } = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, pingInterval: undefined, pongTimeout: undefined });
        const socket = FakeSocket.last;
        const pass = (ms, ...frames) => {
          time += ms;
          socket.deliver(...frames);
        };
        const fire = () => timers.at(-1).fn();
        equal(timers.at(-1).ms, 20_000); // for the handshake
        socket.fire("open");
        pass(10_000, '{"event":"e"}');
        pass(15_000);
        fire();
        equal([timers.at(-1).ms, socket.sent], [10_000, []]);
        pass(80_000); // the timer is late
        fire();
        equal([timers.at(-1).ms, socket.sent], [20_000, ['{"ping":1}']]);
        pass(5_000, "any sign of life");
        pass(15_000);
        fire();
        equal([timers.at(-1).ms, client.state], [10_000, "open"]);
        pass(10_000);
        fire();
        equal(socket.sent, ['{"ping":1}', '{"ping":2}']);
        pass(20_000);
        fire();
        equal([client.state, socket.closed], ["waiting", 1]);
        client.close();
      });
    } finally {
      performance.now = now;
    }
  }],
  ["times", "that never come", async (stage) => {
    await fakeTimes(1, async (timers) => {
      const { client } = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, pingInterval: Infinity, pongTimeout: Infinity });
      FakeSocket.last.fire("open");
      equal(timers.map(({ ms }) => ms), [2 ** 31 - 1, 2 ** 31 - 1]);
      client.close();
    });
  }],

  ["connect", "an error that no close follows", async (stage) => {
    const peer = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, reconnect: false });
    const error = new Error("refused");
    FakeSocket.last.fire("error", { error });
    const why = await peer.is("connecting", "closed");
    equal([why.code, why.cause === error], [1006, true]);
  }],
  ["connect", "a constructor that throws", async (stage) => {
    const insecure = new Error("insecure");
    class Refusing extends FakeSocket {
      constructor(...args) {
        super(...args);
        throw insecure;
      }
    }
    const peer = stage.dial("ws://fake/ws", { WebSocket: Refusing });
    const why = await peer.is("connecting", "closed");
    equal([why.code, why.cause === insecure], [1006, true]);
  }],
  ["close", "a socket that says at once that it is closed, or refuses", async (stage) => {
    const { peer, client, socket } = await fake(stage);
    socket.close = (code) => {
      if (code === 1001) throw new RangeError("may not be sent");
      socket.fire("error", {});
      socket.fire("close", { code: 1006, reason: "" });
    };
    await throws(() => client.close(1001), { name: "RangeError" });
    equal(client.state, "open");
    client.emit("e");
    client.close(4000);
    equal((await peer.is("closed")).code, 4000);
    equal(socket.sent, ['{"event":"e"}']);
  }],
  ["onstate", "may close", async (stage) => {
    const { peer, client, socket } = await fake(stage, { reconnect: { min: 1 } });
    client.onstate = (state) => {
      peer.states.push([state]);
      if (state === "waiting") client.close();
    };
    const { made } = FakeSocket;
    socket.fire("close", { code: 1006, reason: "" });
    await peer.is("waiting", "closed");
    equal(FakeSocket.made, made);
  }],
];
