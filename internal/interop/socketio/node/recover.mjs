// Rows against a server whose clients may come back: that of recovery_test.go, or
// Node's own, recoverer.mjs. "/" and "/other" have the same events.

import { Line } from "./line.mjs";
import { equal, within } from "./peer.mjs";

const soon = { reconnectionDelay: 20, reconnectionDelayMax: 40 };
const bytes = (...list) => new Uint8Array(list);

// Away is a client over a line of its own, and a watcher beside it that has the server
// send what the other misses.
class Away {
  static async from(stage, options) {
    const away = new Away();
    away.watcher = await stage.connect();
    away.line = await Line.to(stage.url);
    away.peer = stage.keep(stage.io(away.line.url + stage.namespace, { forceNew: true, transports: stage.transports, ...soon, ...options }));
    away.socket = away.peer.socket;
    await away.peer.expect(["(connect)"]);
    if (stage.transports === undefined) {
      await away.peer.upgraded();
    }
    return away;
  }

  // takes requires the next events, which have an offset behind their arguments.
  async takes(...want) {
    equal(await this.list(want.length), want);
  }

  async list(n, peer = this.peer) {
    const list = [];
    while (list.length < n) {
      const [event, ...args] = await peer.next();
      if (event === "news") {
        equal(typeof args.pop(), "string", "the offset");
        list.push(args.length === 1 ? args[0] : args);
      } else if (event !== "(connect)" && event !== "(connect_error)") {
        throw new Error(`${event} ${args}`);
      }
    }
    return list;
  }

  async cast(...news) {
    for (const one of news) {
      await this.watcher.call("cast", ...[one].flat());
    }
  }

  // lost waits until the client knows. Node's server sends what was missed before the
  // CONNECT, so that may still be there; and events that came just before are still to
  // be expected.
  async lost(peer = this.peer) {
    const before = [];
    for (let got = await peer.next(); got[0] !== "(disconnect)"; got = await peer.next()) {
      if (got[0] !== "(connect)" && got[0] !== "(connect_error)") {
        before.push(got);
      }
    }
    peer.unread(before);
  }

  async cut() {
    this.line.cut();
    await this.lost();
  }

  // mend waits until the client is back, and whether to its connection.
  async mend(recovered = true, socket = this.socket) {
    const back = socket.connected || new Promise((resolve) => socket.once("connect", resolve));
    this.line.mend();
    await within(back, "connect");
    equal(socket.recovered ?? false, recovered, "recovered");
  }

  // end requires that nothing more has come.
  async end() {
    equal((await this.peer.call("events", "the end")), ["the end"]);
    this.line.close();
    for (let [event, ...args] = await this.peer.next(); event !== "(disconnect)"; [event, ...args] = await this.peer.next()) {
      equal(["(connect)", "(connect_error)"].includes(event), true, `received beside what was expected: ${event} ${args}`);
    }
    this.socket.disconnect();
  }
}

// What Node's server does as well.
export const recover = [
  ["recover", "what was missed, in order and once, three times", async (stage) => {
    const away = await Away.from(stage, { auth: { token: "t" } });
    const { id } = away.socket;
    await away.cast(0);
    await away.takes(0);
    for (let n = 1; n < 10; n += 3) {
      await away.cut();
      await away.cast(n, n + 1, ["two", n + 2]);
      await away.mend();
      await away.takes(n, n + 1, ["two", n + 2]);
      equal(away.socket.id, id);
    }
    await away.end();
  }],
  ["recover", "strings and bytes", async (stage) => {
    const away = await Away.from(stage);
    await away.cast("a string");
    await away.takes("a string");
    await away.cut();
    await away.cast(["x", "y"], [bytes(1, 2), bytes()], { file: bytes(3) });
    await away.mend();
    await away.takes(["x", "y"], [bytes(1, 2), bytes()], { file: bytes(3) });
    await away.end();
  }],
  ["recover", "two namespaces", async (stage) => {
    const away = await Away.from(stage);
    const beside = stage.keep(away.socket.io.socket("/other"));
    await beside.expect(["(connect)"]);
    const other = await stage.connect({}, "/other");
    await away.cast(1);
    await other.call("cast", "one");
    await away.takes(1);
    equal(await away.list(1, beside), ["one"]);
    await away.cut();
    await away.lost(beside);
    await away.cast(2);
    await other.call("cast", "two");
    await Promise.all([away.mend(), away.mend(true, beside.socket)]);
    await away.takes(2);
    equal(await away.list(1, beside), ["two"]);
    await away.end();
  }],
  ["recover", "after a transport that the client has closed", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    away.socket.io.engine.close();
    await away.lost();
    await away.mend();
    await away.cast(2);
    await away.takes(2);
    await away.end();
  }],
  ["recover", "not after a disconnect", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    away.socket.disconnect();
    await away.lost();
    await away.cast(2);
    away.socket.connect();
    await away.mend(false);
    await away.cast(3);
    await away.takes(3);
    await away.end();
  }],
  ["recover", "acks that the client waits for do not come later", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    const asked = new Promise((resolve) => away.socket.timeout(300).emit("hold", resolve));
    await away.peer.call("events", 0); // so "hold" has come
    await away.cut();
    await away.watcher.call("release");
    await away.mend();
    const { message } = await within(asked, "the ack");
    equal(["socket has been disconnected", "operation has timed out"].includes(message), true, message); // 4.8 and 4.6
    await away.end();
  }],
  ["recover", "what is asked while it is away does not come later", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    const { id } = away.socket;
    await away.cut();
    await away.watcher.call("ask", id, "riddle", 20);
    await away.mend();
    await away.end();
  }],
];

// What Node's server does not: recovered is whether it is expected.
const faults = (recovered) => [
  ["recover", "before the first event", async (stage) => {
    const away = await Away.from(stage);
    await away.cut();
    await away.cast("missed");
    await away.mend(recovered);
    await (recovered ? away.takes("missed") : undefined);
    await away.end();
  }],
  ["recover", "after a volatile event that ends in a string", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    await away.watcher.call("volatile cast", "now", "or never");
    const [event, ...args] = await away.peer.next();
    equal([event, ...args.flat().slice(0, 2)], ["news", "now", "or never"]);
    await away.cut();
    await away.cast(2);
    await away.mend(recovered);
    await (recovered ? away.takes(2) : undefined);
    await away.end();
  }],
  ["recover", "back before the server has noticed", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    away.line.deafen();
    await away.cast(2);
    away.socket.io.engine.close();
    await away.lost();
    await away.mend(recovered);
    await (recovered ? away.takes(2) : undefined);
    await away.end();
  }],
  ["recover", "an answer to a question from before", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    const question = new Promise((resolve) => away.socket.on("riddle", (...args) => resolve(args.pop())));
    const asked = away.watcher.call("ask", away.socket.id, "riddle", recovered ? 60_000 : 500);
    const answer = await within(question, "the question");
    await away.cut();
    await away.mend();
    answer("solved");
    equal(await asked, [recovered ? "solved" : null]);
    await away.end();
  }],
];

export const faulty = faults(false);
export const better = [
  ...faults(true),
  ["recover", "after another connection, with no event since", async (stage) => {
    const away = await Away.from(stage);
    await away.cast(1);
    await away.takes(1);
    away.socket.disconnect();
    await away.lost();
    away.socket.connect(); // the client shows the old offset from now on
    await away.mend(false);
    await away.cut();
    await away.cast(2);
    await away.mend();
    await away.takes(2);
    await away.end();
  }],
];
