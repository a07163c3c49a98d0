// Rows of connections that outlive the network: against servers over a line that is cut,
// and against a FakeSession, for what no server of ours does.

import { collect, equal, fails, heldTimers, pause, throws, until, within } from "./play.mjs";
import { FakeSocket, fakeTimes, settled } from "./frames.mjs";

const anHour = 3_600_000;
const soon = { min: 1, max: 5 };
const numbers = (to) => Array.from({ length: to }, (_, i) => i + 1);

// over connects over the line.
async function over(stage, path, options) {
  const peer = stage.dial(`ws://${stage.env.line}${path}`, { resume: true, reconnect: soon, ...options });
  await within(peer.client.ready(), "connection");
  await peer.is("connecting", "open");
  await peer.client.call("whoami"); // and we have been told the secret
  return peer;
}

// waits keeps a client from coming back by itself: reconnect says when.
const waits = { reconnect: { min: anHour, max: anHour } };

async function cut(stage, peer) {
  await stage.control("cut");
  await within(peer.is("waiting"), "loss");
}

async function back(peer) {
  peer.client.reconnect();
  await peer.is("connecting", "open");
}

export const recovery = [
  ["recovery", "goes on with all that was under way, and what is sent meanwhile", async (stage) => {
    const peer = await over(stage, "/recovery", waits);
    const { client } = peer;
    let openings = 0;
    let lost = false;
    client.onOpen(({ signal }) => {
      openings++;
      signal.addEventListener("abort", () => (lost = true));
    });
    client.on("question", (n) => n);
    const id = await client.call("whoami");
    const held = client.call("hold");
    const items = client.pull("count", 50, { window: 4 });
    equal((await items.next()).value, 1);
    client.emit("n", 1);
    await cut(stage, peer);
    equal([client.state, client.away, client.recovered, openings, lost], ["waiting", true, false, 1, false]);
    for (const n of [2, 3]) client.emit("n", n);
    const diary = client.call("diary");
    const asked = client.call("ask", 10);
    const more = collect(client.pull("count", 5));
    client.onOpen(() => openings++); // of a connection that there is
    await settled();
    equal(openings, 2);
    await back(peer);
    equal([client.away, client.recovered], [false, true]);
    client.emit("release");
    equal([await held, await diary, await asked], ["released", [1, 2, 3], 55]);
    equal([await collect(items), await more], [numbers(50).slice(1), numbers(5)]);
    equal([await client.call("whoami"), openings, lost], [id, 2, false]);
  }],
  ["recovery", "a hundred times in a row, in order and once", async (stage) => {
    const peer = await over(stage, "/recovery");
    const { client } = peer;
    const ticks = [];
    const asked = [];
    client.on("tick", (n) => void ticks.push(n));
    client.on("question", (n) => {
      asked.push(n);
      return n;
    });
    const items = [];
    const pulling = (async () => {
      for await (const n of client.pull("count", 5000, { window: 8 })) items.push(n);
    })();
    const ticking = client.call("tick", 1000);
    const answering = client.call("ask", 300);
    let sent = 0;
    for (let round = 0; round < 100; round++) {
      const stall = ["", "stall", "stallUp", "stallDown"][round % 4]; // then more is lost in the line
      if (stall) await stage.control(stall);
      for (let i = 0; i < 10; i++) client.emit("n", ++sent);
      await stage.control("cut");
      client.emit("n", ++sent);
      await within(peer.is("waiting"), "loss");
      if (stall) await stage.control("resume");
      await peer.is("connecting", "open");
      equal(client.recovered, true);
      if (round % 2 === 0) equal((await client.call("diary")).length, sent);
    }
    equal([await ticking, await answering], [1000, 300 * 301 / 2]);
    await pulling;
    const got = await client.call("diary");
    equal([got, ticks, items, asked], [numbers(sent), numbers(1000), numbers(5000), numbers(300)]);
  }],
  ["recovery", "after a silence, and nothing that comes late counts", (stage) => heldTimers(anHour, async (late) => {
    const peer = await over(stage, "/recovery", { pingInterval: 50, pongTimeout: anHour });
    const { client } = peer;
    const ticks = [];
    client.on("tick", (n) => void ticks.push(n));
    const id = await client.call("whoami");
    const ticking = client.call("tick", 50);
    await stage.control("stall");
    client.emit("n", 1);
    await until(async () => {
      late();
      await pause();
      return client.state;
    }, (state) => state !== "open", "end of the silence");
    await peer.is("waiting");
    client.emit("n", 2);
    await peer.is("connecting");
    await stage.control("resume"); // with all that is under way over the old socket, and its close frame
    await peer.is("open");
    equal([await ticking, await client.call("whoami"), await client.call("diary"), ticks], [50, id, [1, 2], numbers(50)]);
  })],
  ["recovery", "ends with the window", async (stage) => {
    const peer = await over(stage, "/recovery/brief", waits);
    const { client } = peer;
    const id = await client.call("whoami");
    const reasons = [];
    client.onOpen(({ signal }) => signal.addEventListener("abort", () => reasons.push(signal.reason.code)));
    await settled();
    const lost = { name: "ClosedError", code: 1006 };
    const failing = fails(client.call("hold"), lost);
    const items = client.pull("count", 1e9, { window: 4 });
    equal((await items.next()).value, 1);
    await stage.control("cut");
    await peer.is("waiting");
    const queued = fails(client.call("whoami"), lost);
    await failing;
    await queued;
    await fails(collect(items), lost);
    await peer.is("waiting"); // again: not away any more
    equal([client.away, reasons], [false, [1006]]);
    await throws(() => client.emit("n", 1), lost);
    await back(peer);
    equal([client.recovered, await client.call("whoami") === id], [false, false]);
  }],
  ["recovery", "is refused", async (stage) => {
    const peer = await over(stage, "/recovery", waits);
    const { client } = peer;
    const id = await client.call("whoami");
    await client.call("ban");
    let openings = 0;
    client.onOpen(() => openings++);
    await settled();
    const failing = fails(client.call("hold"), { name: "ClosedError", code: 1006 });
    await cut(stage, peer);
    client.emit("n", 1);
    await back(peer);
    await failing;
    equal([client.away, client.recovered, openings], [false, false, 2]);
    equal([await client.call("whoami") === id, await client.call("diary")], [false, null]);
    await cut(stage, peer); // and the new one outlives it
    client.emit("n", 2);
    await back(peer);
    equal([client.recovered, await client.call("diary")], [true, [2]]);
  }],
  ["recovery", "is not known to the server", async (stage) => {
    const peer = stage.dial(`ws://${stage.env.line}/own`, { resume: true, ...waits });
    await peer.is("connecting", "open");
    const { client } = peer;
    const id = await client.call("whoami");
    const lost = { name: "ClosedError", code: 1006 };
    const failing = fails(client.call("ended", "nobody"), lost);
    await cut(stage, peer);
    await failing;
    equal([client.away, client.recovered], [false, false]);
    await throws(() => client.emit("whoami"), lost);
    await back(peer);
    equal([client.recovered, await client.call("whoami") === id, peer.sent[0]], [false, false, '{"event":"whoami","id":1}']);
  }],
  ["recovery", "brings new auth when the server asks for it", async (stage) => {
    let token = 0;
    const peer = await over(stage, "/recovery/auth", { auth: async () => ++token });
    const { client } = peer;
    const id = await client.call("whoami");
    const held = client.call("hold");
    equal([await client.call("auth"), peer.sent[0]], [1, '{"session":"","auth":1}']);
    client.emit("close", 4900);
    const why = await peer.is("waiting");
    equal([why.code, why.reason, client.away], [4900, "because", true]);
    client.emit("release");
    await peer.is("connecting", "open");
    equal([await held, await client.call("auth"), await client.call("whoami"), client.recovered], ["released", 2, id, true]);
  }],
  ["recovery", "ends with other codes, and with a goodbye", async (stage) => {
    for (const [code, states] of [[1012, ["waiting", "connecting", "open"]], [4409, ["closed"]], [4001, ["closed"]]]) {
      const peer = await over(stage, "/recovery");
      const failing = fails(peer.client.call("hold"), { name: "ClosedError", code });
      peer.client.emit("close", code);
      await failing;
      equal(peer.client.away, false);
      await peer.is(...states);
    }
    const peer = await over(stage, "/recovery", waits);
    await cut(stage, peer);
    const failing = fails(peer.client.call("whoami"), { name: "ClosedError", code: 1000 });
    peer.client.close();
    equal(peer.client.away, false);
    await failing;
    await peer.is("closed");
    peer.client.reconnect();
    await peer.is("connecting", "open");
    equal([peer.client.recovered, await peer.client.call("diary")], [false, null]);
  }],
  ["recovery", "ends with reconnect while it is open", async (stage) => {
    const peer = await over(stage, "/recovery");
    const id = await peer.client.call("whoami");
    const failing = fails(peer.client.call("hold"), { name: "ClosedError", code: 1000, reason: "reconnect" });
    await back(peer);
    await failing;
    equal([peer.client.recovered, await peer.client.call("whoami") === id], [false, false]);
  }],
  ["recovery", "queues within a bound, and what is owed beyond it", async (stage) => {
    const peer = await over(stage, "/recovery", { ...waits, resume: { maxBytes: 2000 } });
    const { client } = peer;
    let answer;
    client.on("question", () => new Promise((resolve) => (answer = resolve)));
    const sum = client.call("ask", 1);
    await until(pause, () => answer !== undefined, "question");
    await cut(stage, peer);
    let fit = 0;
    await throws(() => {
      for (;; fit++) client.emit("n", fit + 1);
    }, { name: "ClosedError", code: 1006 });
    await fails(client.call("diary"), { name: "ClosedError", code: 1006 });
    equal(fit > 50 && fit < 100, true);
    answer(7);
    await settled();
    await back(peer);
    equal([await sum, await client.call("diary")], [7, numbers(fit)]);
  }],
  ["recovery", "cancels and times out while it is away", async (stage) => {
    const peer = await over(stage, "/recovery", waits);
    const { client } = peer;
    const abort = new AbortController();
    const held = client.call("hold", null, { signal: abort.signal });
    await cut(stage, peer);
    abort.abort("enough");
    await fails(held, "enough");
    await fails(client.call("hold", null, { timeout: 5 }), { name: "TimeoutError" });
    await back(peer);
    equal(peer.sent.filter((text) => text.includes('"cancel":true')).length, 2);
    equal([client.recovered, await client.call("diary")], [true, null]);
  }],
  ["recovery", "of a frame that the server does not take counts it, too", async (stage) => {
    const peer = (await over(stage, "/recovery", waits)).hear("exception");
    const { client } = peer;
    await fails(client.call("x".repeat(300)), { name: "WsError", code: "invalid" });
    client.emit("y".repeat(300));
    equal((await peer.events.next())[0], "exception");
    client.emit("n", 1);
    await client.call("diary");
    await cut(stage, peer);
    client.emit("n", 2);
    await back(peer);
    equal(await client.call("diary"), [1, 2]);
    for (let i = 0; i < 40; i++) await client.call("whoami"); // and we acknowledge
    equal([client.recovered, client.state, peer.states.length], [true, "open", 0]);
  }],

  ["session", "frames, one by one", (stage) => fakeTimes(1, async (timers) => {
    const { peer, client, socket } = await fakeSession(stage, { auth: { t: 1 } });
    equal(socket.sent, ['{"session":"","auth":{"t":1}}']);
    client.emit("a");
    socket.deliver('{"ack":1}', '{"session":"s\\u0022","window":1000}', '{"event":"e"}', '{"pong":7}', "no frame", '{"ack":1}', '{"ack":99}');
    const ack = timers.at(-1);
    equal(ack.ms, 1000);
    ack.fn();
    client.emit("b");
    socket.deliver(...numbers(32).map((n) => `{"event":"e","data":${n}}`), `{"event":"e","data":"${"x".repeat(1 << 16)}"}`);
    equal(socket.sent.slice(1), ['{"event":"a"}', '{"ack":2}', '{"event":"b"}', '{"ack":34}', '{"ack":35}']);
    socket.fire("close", { code: 1006, reason: "" });
    client.emit("c");
    socket.deliver('{"event":"late"}');
    timers.at(-1).fn(); // the next attempt
    await turns();
    const next = FakeSocket.last;
    next.protocol = withSession;
    next.fire("open");
    client.emit("d");
    next.deliver('{"event":"early"}', '{"pong":1}');
    equal([client.state, next.sent], ["connecting", ['{"session":"s\\"","received":35,"auth":{"t":1}}']]);
    next.deliver('{"session":"s\\u0022","window":1000,"received":2}', '{"session":"other","window":1}');
    client.emit("e");
    equal([client.state, next.sent.slice(1)], ["open", ['{"event":"c"}', '{"event":"d"}', '{"event":"e"}']]);
    await turns();
    await peer.is("waiting", "connecting", "open");
    client.close();
  })],
  ["session", "asks for one with both subprotocols", async (stage) => {
    let asked;
    class Asking extends FakeSession {
      constructor(...args) {
        super(...args);
        asked = args[1];
      }
    }
    const { client } = stage.dial("ws://fake/ws", { WebSocket: Asking, resume: true });
    equal(asked, [withSession, "wsrouter.v1"]);
    client.close();
    stage.dial("ws://fake/ws", { WebSocket: FakeSocket, resume: true, reconnect: false }).client.close(); // as ever
  }],
  ["session", "lost before it has a name, or when too much is forgotten, is none", async (stage) => {
    for (const lose of [
      () => {},
      (client, socket) => {
        socket.deliver('{"session":"s","window":1000}');
        for (let i = 0; i < 3; i++) client.emit("e", "x".repeat(500));
      },
    ]) {
      const { peer, client, socket } = await fakeSession(stage, { resume: { maxBytes: 1000 }, reconnect: waits.reconnect });
      const call = fails(client.call("e"), { name: "ClosedError", code: 1006 });
      lose(client, socket);
      socket.fire("close", { code: 1006, reason: "" });
      equal(client.away, false);
      await call;
      await peer.is("waiting");
    }
    for (const sizes of [[500, 500, 500], [2, 3, 2000]]) { // the largest is kept alone
      const { client, socket } = await fakeSession(stage, { resume: { maxBytes: 1000 }, reconnect: waits.reconnect });
      socket.deliver('{"session":"s","window":1000}');
      for (const size of sizes) client.emit("e", "x".repeat(size));
      socket.deliver('{"ack":2}'); // all that was forgotten has arrived
      socket.fire("close", { code: 1006, reason: "" });
      equal(client.away, true);
    }
  }],
  ["session", "is given up when the server has another idea of it", async (stage) => {
    for (const received of [0, 3]) { // it had said that it has 1, and was sent 2
      const { peer, client, socket } = await fakeSession(stage, { reconnect: soon });
      socket.deliver('{"session":"s","window":100000}');
      client.emit("a");
      socket.deliver('{"ack":1}');
      const call = fails(client.call("e"), { name: "ClosedError", code: 1006 });
      socket.fire("close", { code: 1006, reason: "" });
      await peer.is("waiting", "connecting");
      const next = FakeSocket.last;
      next.protocol = withSession;
      next.fire("open");
      next.deliver(`{"session":"s","window":1000,"received":${received}}`);
      await call;
      equal([client.away, client.state, next.closed], [false, "waiting", 1]);
      client.close();
    }
  }],
  ["session", "that is asked for when its window ends may still be had", (stage) => fakeTimes(1, async (timers) => {
    const { peer, client, socket } = await fakeSession(stage);
    socket.deliver('{"session":"s","window":1000}');
    const call = client.call("e");
    socket.fire("close", { code: 1006, reason: "" });
    await turns();
    const lapse = timers.at(-2);
    equal(lapse.ms, 1000);
    timers.at(-1).fn();
    await turns();
    await peer.is("waiting", "connecting");
    const next = FakeSocket.last;
    next.protocol = withSession;
    next.fire("open");
    lapse.fn();
    equal(client.away, true);
    next.deliver('{"session":"s","window":1000,"received":1}', '{"event":"e","data":1,"re":1}');
    equal([await call, client.recovered], [1, true]);
    client.close();
  })],
  ["session", "is kept over attempts that fail, and lost with one that is refused for good", async (stage) => {
    const { peer, client, socket } = await fakeSession(stage, { reconnect: soon });
    socket.deliver('{"session":"s","window":100000}');
    const call = fails(client.call("e"), { name: "ClosedError", code: 1008 });
    socket.fire("close", { code: 1006, reason: "" });
    for (const code of [1006, 1001, 1013]) {
      await peer.is("waiting", "connecting");
      const next = FakeSocket.last;
      next.protocol = withSession;
      next.fire("open");
      next.fire("close", { code, reason: "" });
      equal(client.away, true);
    }
    await peer.is("waiting", "connecting");
    FakeSocket.last.fire("close", { code: 1008, reason: "" });
    await call;
    equal([client.away, client.state], [false, "closed"]);
  }],
];

const withSession = "wsrouter.v1.session";

class FakeSession extends FakeSocket {
  protocol = withSession;

  constructor(url, protocols) {
    super(url, protocols[1]);
    equal(protocols, [withSession, "wsrouter.v1"]);
  }
}

// turns lets what waits for no timer go on.
async function turns() {
  for (let i = 0; i < 20; i++) await undefined;
}

async function fakeSession(stage, options) {
  const peer = stage.dial("ws://fake/ws", { WebSocket: FakeSession, resume: true, ...options });
  await turns(); // auth has been asked
  const socket = FakeSocket.last;
  socket.fire("open");
  await turns();
  await peer.is("connecting", "open");
  return { peer, client: peer.client, socket };
}
