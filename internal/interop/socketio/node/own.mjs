// Rows against the server of own_test.go: what the gateway's table has no event
// for. "/" takes everyone, "/guarded" who has the token.

import { equal } from "./peer.mjs";

const bytes = (...list) => new Uint8Array(list);
const large = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);

const soon = { reconnectionDelay: 20, reconnectionDelayMax: 100 };

// expectReturn waits for the transport's end, as no client comes back after anything
// else, and for the next connection.
async function expectReturn(peer) {
  const [event, reason] = await peer.next();
  equal([event, ["transport close", "transport error"].includes(reason)], ["(disconnect)", true], reason);
  await peer.expect(["(connect)"]);
}

// Values that come back as they were sent.
const values = [
  ["bytes", bytes(1, 2, 3)],
  ["no bytes", bytes()],
  ["every byte", Uint8Array.from({ length: 256 }, (_, i) => i)],
  ["300,000 bytes", large],
  ["bytes in an object", { name: "a", file: bytes(0, 30, 255), more: [bytes(9), { deep: bytes(8) }], n: 1.5 }],
  ["ten attachments", Array.from({ length: 10 }, (_, i) => bytes(i, i))],
  ["text that looks like a placeholder", { text: '{"_placeholder":true,"num":0}', file: bytes(4) }],
];

export const own = [
  ...values.map(([title, value]) => ["binary", title, async (stage) => {
    const peer = await stage.connect();
    peer.emit("echo", value);
    await peer.expect(["echo", value]);
    equal(await peer.ask("echo", value), value, "the ack");
    equal(await peer.ask("ask", value), value, "what the server was answered");
    await peer.expectNothing();
  }]),
  ["binary", "in a call to all in a room, and in their answers", async (stage) => {
    const [a, b] = await Promise.all([stage.connect(), stage.connect()]);
    const value = { file: bytes(1, 2, 3), none: bytes(), text: "AQID" };
    equal(await a.ask("ask all", [a.socket.id, b.socket.id], value), [value, value]);
    await a.expectNothing();
  }],
  ["binary", "in several arguments", async (stage) => {
    const peer = await stage.connect();
    peer.emit("size", "a", bytes(1, 2, 3));
    await peer.expect(["size", ["a", 3]]);
    equal(await peer.ask("size", "b", bytes(1, 2)), ["b", 2]);
    await peer.expectNothing();
  }],
  ["binary", "as base64, where the client can do no other", async (stage) => {
    const peer = await stage.connect({ forceBase64: true });
    if (stage.transports === undefined) {
      await peer.upgraded();
    }
    equal(peer.socket.io.engine.transport.supportsBinary, false);
    for (const [title, value] of values) {
      equal(await peer.ask("echo", value), value, title);
      equal(await peer.ask("ask", value), value, title);
    }
    await peer.expectNothing();
  }],
  ["ack", "of several values, with bytes", async (stage) => {
    const peer = await stage.connect();
    peer.socket.on("questions", (...args) => args.pop()(...args.reverse()));
    for (const list of [[], ["one"], [bytes(1), "two"], [1, { deep: [bytes(2)] }, null, bytes(3)]]) {
      equal(await peer.call("several", list), list);
      if (list.length > 1) {
        equal(await peer.call("ask several", list), list.toReversed(), "what the server was answered");
      }
    }
  }],
  ["arguments", "that were sent, and one array", async (stage) => {
    const peer = await stage.connect();
    for (const [sent, want] of [
      [[], ["none", "none"]], [["a"], ["a", "none"]], [[["a", "b"]], [["a", "b"], "none"]],
      [["a", "b"], ["a", "b"]], [[["a"], bytes(1)], [["a"], bytes(1)]], [["a", "b", "c"], ["a", "b"]],
    ]) {
      equal(await peer.call("which", ...sent), want);
    }
  }],
  ["binary", "to a room, beside text in order", async (stage) => {
    const [a, b] = await Promise.all([stage.connect(), stage.connect()]);
    await Promise.all([a.expectNothing(), b.expectNothing()]); // now both are targets
    for (let n = 0; n < 50; n++) {
      a.emit("cast", { n, file: bytes(n) });
      a.emit("cast", n);
    }
    for (let n = 0; n < 50; n++) {
      await a.expect(["cast", { n, file: bytes(n) }], ["cast", n]);
      await b.expect(["cast", { n, file: bytes(n) }], ["cast", n]);
    }
  }],
  ["path", "without a trailing slash", async (stage) => {
    const peer = await stage.connect({ addTrailingSlash: false });
    peer.emit("echo", "x");
    await peer.expect(["echo", "x"]);
    await peer.expectNothing();
  }],
  ["auth", "is seen by the guard", async (stage) => {
    const peer = await stage.connect({ auth: { token: "good", name: "ada" } }, "/guarded");
    await peer.expect(["welcome", "ada"]);
    await peer.expectNothing();
  }],
  ["auth", "of a function", async (stage) => {
    const peer = await stage.connect({ auth: (tell) => tell({ token: "good", name: "eve" }) }, "/guarded");
    await peer.expect(["welcome", "eve"]);
  }],
  ["connect_error", "has the guard's message and data", async (stage) => {
    const peer = stage.open({ auth: { token: "bad", name: "ada" } }, "/guarded");
    await peer.expect(["(connect_error)", "who are you?", { name: "ada", tries: [1, 2] }]);
    peer.socket.auth.token = "good";
    peer.socket.connect();
    await peer.expect(["(connect)"], ["welcome", "ada"]);
  }],
  ["connect_error", "without auth, and beside a namespace that goes on", async (stage) => {
    const root = await stage.connect();
    const guarded = stage.keep(root.socket.io.socket("/guarded"));
    await guarded.expect(["(connect_error)", "who are you?", { name: "", tries: [1, 2] }]);
    await root.expectNothing();
  }],
  ...["crash", "late", "1011", "1012", "1013"].map((token) => ["come back", `after a refusal that passes: ${token}`, async (stage) => {
    const peer = stage.open({ auth: { token, name: stage.transports?.[0] }, ...soon }, "/guarded");
    await expectReturn(peer);
    await peer.expect(["welcome", stage.transports?.[0] ?? ""]);
    await peer.expectNothing();
  }]),
  ...["move", "move by id"].map((event) => ["come back", `after a close with 1012: ${event}`, async (stage) => {
    const peer = await stage.connect(soon);
    const { id } = peer.socket;
    peer.emit(event);
    await expectReturn(peer);
    equal(peer.socket.id === id, false, "it is a new connection");
    await peer.expectNothing();
  }]),
  ["connect", "asked for twice, while it is under way and later", async (stage) => {
    const root = await stage.connect();
    const guarded = stage.keep(root.socket.io.socket("/guarded", { auth: { token: "good", name: "ada" } }));
    guarded.socket.connect();
    await guarded.expect(["(connect)"], ["welcome", "ada"]);
    equal(await guarded.call("events", "x"), ["x"]);
    equal(guarded.socket.connected, true);
    await root.expectNothing();
  }],
  ["disconnect", "is told to the server, and its cause", async (stage) => {
    const [watcher, peer] = await Promise.all([stage.connect(), stage.connect()]);
    const { id } = peer.socket;
    equal(await watcher.ask("watch", id), true);
    peer.socket.disconnect();
    await watcher.expect(["left", { id, cause: "peer" }]);
  }],
  ["disconnect", "by the server, from outside a handler", async (stage) => {
    const [watcher, peer] = await Promise.all([stage.connect(), stage.connect()]);
    const { id } = peer.socket;
    equal(await watcher.ask("watch", id), true);
    equal(await watcher.ask("kick", id), true);
    await peer.expect(["(disconnect)", "io server disconnect"]);
    await watcher.expect(["left", { id, cause: "local" }]);
  }],
  ["disconnect", "by the server, with all namespaces and the transport", async (stage) => {
    const [watcher, peer] = await Promise.all([stage.connect(), stage.connect()]);
    const guarded = stage.keep(peer.socket.io.socket("/guarded", { auth: { token: "good", name: "ada" } }));
    await guarded.expect(["(connect)"], ["welcome", "ada"]);
    const { id } = peer.socket;
    equal(await watcher.ask("watch", id), true);
    equal(await watcher.ask("hang up", id), true);
    await peer.expect(["(disconnect)", "io server disconnect"]);
    await guarded.expect(["(disconnect)", "io server disconnect"]);
    await peer.closed();
    await watcher.expect(["left", { id, cause: "local" }]);
  }],
  ["disconnect", "of a transport cut short", async (stage) => {
    const [watcher, peer] = await Promise.all([stage.connect(), stage.connect()]);
    const { id } = peer.socket;
    equal(await watcher.ask("watch", id), true);
    peer.socket.io.engine.close(); // without leaving the namespace
    await peer.expect(["(disconnect)", "forced close"]);
    await watcher.expect(["left", { id, cause: "peer" }]);
  }],
];
