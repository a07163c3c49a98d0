// The gateway's table of events, as an unmodified socket.io-client sees it.

import { equal, within } from "./peer.mjs";

const hidden = { status: "error", message: "Internal server error" };
const empty = { status: "error", message: "数据不能为空！" };
const notToday = { status: "error", message: "not today", code: "E_FAIL", data: { retry: true } };
const rich = { b: 1.5, a: ["<&>", null, "é", "\u2028", "😀"], deep: [[[{}]]] };

const bytes = (...list) => new Uint8Array(list);
const file = { name: "a", body: bytes(0, 30, 255), more: [bytes(), { deep: bytes(8) }] };

// replies are [event, args, what comes of emit, the ack, what comes before it].
const replies = [
  ["events", ["hi"], [["events", "hi"]], ["hi"], []],
  ["events", [rich], [["events", rich]], [rich], []],
  ["events", [0], [["events", 0]], [0], []],
  ["events", [false], [["events", false]], [false], []],
  ["events", [[]], [["events", []]], [[]], []],
  ["events", [1, "two", { three: 3 }], [["events", [1, "two", { three: 3 }]]], [[1, "two", { three: 3 }]], []],
  ["events", [""], [["exception", empty]], [empty], [["exception", empty]]],
  ["events", [null], [["exception", empty]], [empty], [["exception", empty]]],
  ["events", [], [["exception", empty]], [empty], [["exception", empty]]],
  ["events", [bytes(1, 2, 3)], [["events", bytes(1, 2, 3)]], [bytes(1, 2, 3)], []],
  ["events", [file], [["events", file]], [file], []],
  ["events", [bytes(1), "two"], [["events", [bytes(1), "two"]]], [[bytes(1), "two"]], []],
  ["id", [{ id: file }], [["id", file]], [file], []],
  ["custom", [bytes(1)], [["custom", "Hey there!"], ["custom", bytes(1)]], [bytes(1)], [["custom", "Hey there!"]]],
  ["custom", [file], [["custom", "Hey there!"], ["custom", file]], [file], [["custom", "Hey there!"]]],
  ["response", [bytes(1)], [["events", bytes(1)]], [], [["events", bytes(1)]]],
  ["response", [file], [["events", file]], [], [["events", file]]],
  ["ask", [bytes(1)], [["ask", bytes(1)]], [bytes(1)], []],
  ["ask", [file], [["ask", file]], [file], []],
  ["id", [{ id: 42 }], [["id", 42]], [42], []],
  ["custom", [[1]], [["custom", "Hey there!"], ["custom", [1]]], [[1]], [["custom", "Hey there!"]]],
  ["response", ["x"], [["events", "x"]], [], [["events", "x"]]],
  ["numbers", [], [["events", 1], ["events", 2], ["events", 3]], [], [["events", 1], ["events", 2], ["events", 3]]],
  ["count", [{ to: 3, every_ms: 1 }], [["count", 1], ["count", 2], ["count", 3]], [], [["count", 1], ["count", 2], ["count", 3]]],
  ["fail", [], [["exception", notToday]], [notToday], [["exception", notToday]]],
  ["boom", [], [["exception", hidden]], [hidden], [["exception", hidden]]],
  ["panic", [], [["exception", hidden]], [hidden], [["exception", hidden]]],
  ["slow", [{ ms: 20 }], [["slow", "done"]], ["done"], []],
  ["ask", [["q", { r: 1 }]], [["ask", ["q", { r: 1 }]]], [["q", { r: 1 }]], []],
];

export const table = [
  ...replies.map(([event, args, emitted, acked, beside]) => [event, JSON.stringify(args), async (stage) => {
    const peer = await stage.connect();
    peer.emit(event, ...args);
    await peer.expect(...emitted);
    equal(await peer.call(event, ...args), acked, "the ack");
    await peer.expect(...beside);
    equal(await peer.ask(event, ...args), acked[0], "emitWithAck");
    await peer.expect(...beside);
    await peer.expectNothing();
  }]),
  ["slow", "holds up the events behind it", async (stage) => {
    const peer = await stage.connect();
    peer.emit("slow", { ms: 50 });
    peer.emit("events", 1);
    const acked = peer.ask("slow", { ms: 50 });
    peer.emit("events", 2);
    await peer.expect(["slow", "done"], ["events", 1], ["events", 2]);
    equal(await acked, "done");
    await peer.expectNothing();
  }],
  ["count", "lets others in between, and ends with its client", async (stage) => {
    const peer = await stage.connect();
    peer.emit("count", { to: 0, every_ms: 1 });
    await peer.expect(["count", 1]);
    equal(await peer.ask("events", "hi"), "hi");
    const { streams } = await peer.ask("stats");
    equal(streams >= 1, true, "a stream runs");
    peer.socket.disconnect();
    const other = await stage.connect();
    await within((async () => { // asks until it has ended
      while ((await other.ask("stats")).streams >= streams) {}
    })(), "the stream's end");
  }],
  ["nobody", "is an unknown event", async (stage) => {
    const peer = await stage.connect();
    peer.emit("nobody", 1);
    await peer.expectNothing();
    const { status, code } = await peer.ask("nobody", 1);
    equal([status, code], ["error", "not_found"]);
    const [event, body] = await peer.next();
    equal([event, body.code], ["exception", "not_found"]);
    await peer.expectNothing();
  }],
  ["say", "reaches a room but not its sender", async (stage) => {
    const [a, b, outside] = await Promise.all([stage.connect(), stage.connect(), stage.connect()]);
    equal(await a.ask("join", "z"), ["z"]);
    equal(await a.ask("join", "r"), ["r", "z"]);
    equal(await a.ask("leave", "z"), ["r"]);
    equal(await b.ask("join", "r"), ["r"]);
    equal(await outside.ask("join", "other"), ["other"]);
    equal(await a.call("say", { room: "r", text: "t" }), [], "the ack of a nil reply");
    await b.expect(["said", "t"]);
    await Promise.all([a, b, outside].map((peer) => peer.expectNothing()));
  }],
  ["join", "tells the rooms, sorted", async (stage) => {
    const peer = await stage.connect();
    peer.emit("join", "z");
    peer.emit("join", "r");
    await peer.expect(["join", ["z"]], ["join", ["r", "z"]]);
    await peer.expectNothing();
  }],
  ["leave", "tells what is left", async (stage) => {
    const peer = await stage.connect();
    equal(await peer.ask("join", "r"), ["r"]);
    peer.emit("leave", "r");
    await peer.expect(["leave", []]);
    await peer.expectNothing();
  }],
  ["cast", "reaches everyone", async (stage) => {
    const peers = await Promise.all([stage.connect(), stage.connect(), stage.connect()]);
    peers[0].emit("cast", { n: 1 });
    await Promise.all(peers.map((peer) => peer.expect(["cast", { n: 1 }])));
    for (const value of [bytes(1, 2, 3), file]) {
      peers[2].emit("cast", value);
      await Promise.all(peers.map((peer) => peer.expect(["cast", value])));
    }
    equal(await peers[1].call("cast", 2), [], "the ack of a nil reply");
    await Promise.all(peers.map((peer) => peer.expect(["cast", 2])));
    await Promise.all(peers.map((peer) => peer.expectNothing()));
  }],
  ["whoami", "is the client's own id", async (stage) => {
    const peer = await stage.connect();
    equal(await peer.ask("whoami"), peer.socket.id);
    equal(peer.socket.id.length, 20);
    equal(peer.socket.id === peer.socket.io.engine.id, false, "the engine's id is a secret");
  }],
  ["stats", "counts", async (stage) => {
    const { connections, goroutines } = await (await stage.connect()).ask("stats");
    equal([connections >= 1, goroutines >= 1], [true, true]);
  }],
  ["close", "is the server's disconnect", async (stage) => {
    const peer = await stage.connect();
    peer.emit("events", 1);
    peer.emit("close");
    await peer.expect(["events", 1], ["(disconnect)", "io server disconnect"]);
    await peer.closed(); // its only namespace is left
    peer.socket.connect();
    await peer.expect(["(connect)"]);
    await peer.expectNothing();
  }],
  ["disconnect", "is the client's own", async (stage) => {
    const peer = await stage.connect();
    peer.socket.disconnect();
    await peer.expect(["(disconnect)", "io client disconnect"]);
  }],
  ["?token=bad", "is refused by HTTP middleware", async (stage) => {
    const peer = stage.open({ query: { token: "bad" }, reconnection: false });
    const [event, message] = await peer.next();
    equal(event, "(connect_error)");
    equal(["xhr poll error", "websocket error"].includes(message), true, message);
  }],
  ["?refuse=1", "is refused by OnConnect", async (stage) => {
    const peer = stage.open({ query: { refuse: "1" } });
    await peer.expect(["(connect_error)", "refused", undefined]);
  }],
  ["namespaces", "one of them is unknown", async (stage) => {
    const peer = stage.open({}, "/nowhere");
    await peer.expect(["(connect_error)", "Invalid namespace", undefined]);
  }],
  ["namespaces", "share one transport, not their events", async (stage) => {
    const root = await stage.connect({}, "/");
    const events = stage.keep(root.socket.io.socket("/events"));
    await events.expect(["(connect)"]);
    equal(events.socket.id === root.socket.id, false, "an id for each");
    equal(await root.ask("join", "r"), ["r"]);
    events.emit("say", { room: "r", text: "not for /" });
    events.emit("cast", 1);
    await events.expect(["cast", 1]);
    await root.expectNothing();
    events.emit("close");
    await events.expect(["(disconnect)", "io server disconnect"]);
    await root.expectNothing();
  }],
  ["transport", "is the one asked for", async (stage) => {
    const peer = await stage.connect();
    if (stage.transports === undefined) {
      await peer.upgraded();
    } else {
      equal(peer.socket.io.engine.transport.name, stage.transports[0]);
    }
    await peer.expectNothing();
  }],
  ["order", "is kept, whatever the transport does meanwhile", async (stage) => {
    const peer = await stage.connect();
    const sent = Array.from({ length: 500 }, (_, i) => i + 1);
    const acked = [];
    for (const n of sent) {
      peer.emit("events", n);
      acked.push(peer.ask("events", -n));
      if (n % 50 === 0) {
        await acked.at(-1);
      }
    }
    await peer.expect(...sent.map((n) => ["events", n]));
    equal(await Promise.all(acked), sent.map((n) => -n));
    await peer.expectNothing();
  }],
];
