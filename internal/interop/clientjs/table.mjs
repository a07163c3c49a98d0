// The rows of the gateway's table of events, in both namespaces.

import { collect, equal, fails, until } from "./play.mjs";

const status = "error";
const hidden = { status, message: "Internal server error" };
const empty = { status, message: "数据不能为空！" };
const notToday = { status, message: "not today", code: "E_FAIL", data: { retry: true } };
const noID = { status, message: "id: expected a value, got nothing", code: "invalid" };
const object = { b: 1.5, a: ["<&>", null, "é"] };

const anHour = 3_600_000;
const names = ["events", "id", "custom", "response", "numbers", "count", "fail", "boom", "panic", "slow", "ask",
  "join", "leave", "say", "said", "cast", "whoami", "stats", "close", "exception"];

// What comes after emit; what call resolves with, or WsError's fields; and what
// comes with that.
const replies = [
  ["events", object, [["events", object]], object],
  ["events", "", [["exception", empty]], { fails: empty }],
  ["events", null, [["exception", empty]], { fails: empty }],
  ["events", undefined, [["exception", empty]], { fails: empty }],
  ["id", { id: 42 }, [["id", 42]], 42],
  ["id", { ID: 42 }, [["exception", noID]], { fails: noID }],
  ["custom", [1], [["custom", "Hey there!"], ["custom", [1]]], [1], [["custom", "Hey there!"]]],
  ["response", "x", [["events", "x"]], "x"],
  ["fail", undefined, [["exception", notToday]], { fails: notToday }],
  ["boom", undefined, [["exception", hidden]], { fails: hidden }],
  ["panic", undefined, [["exception", hidden]], { fails: hidden }],
  ["slow", { ms: 50 }, [["slow", "done"]], "done"],
  ["ask", ["q"], [["ask", ["q"]]], ["q"]],
];

const rows = [
  ...replies.map(([event, data, emitted, called, beside = []]) => [event, `${JSON.stringify(data)}`, async (stage, path) => {
    const peer = await opened(stage, path);
    peer.client.emit(event, data);
    await peer.expect(...emitted);
    const answer = peer.client.call(event, data);
    if (called?.fails) await fails(answer, { name: "WsError", ...called.fails });
    else equal(await answer, called);
    await peer.expect(...beside);
    await expectNothing(peer);
  }]),
  ["numbers", "streams", async (stage, path) => {
    const peer = await opened(stage, path);
    peer.client.emit("numbers");
    await peer.expect(["events", 1], ["events", 2], ["events", 3]);
    equal(await collect(peer.client.pull("numbers")), [1, 2, 3]);
    await expectNothing(peer);
  }],
  ["count", "streams", async (stage, path) => {
    const peer = await opened(stage, path);
    peer.client.emit("count", { to: 3, every_ms: 10 });
    await peer.expect(["count", 1], ["count", 2], ["count", 3]);
    equal(await collect(peer.client.pull("count", { to: 100, every_ms: 0 })), Array.from({ length: 100 }, (_, i) => i + 1));
    await expectNothing(peer);
  }],
  ...["join", "leave", "say"].map((event) => [event, "in rooms", rooms]),
  ["cast", "reaches everyone", async (stage, path) => {
    const peers = await Promise.all([1, 2, 3].map(() => opened(stage, path)));
    for (const peer of peers) await expectNothing(peer); // so the client has been let in
    equal(await peers[0].client.call("cast", { n: 1 }), undefined);
    for (const peer of peers) {
      await peer.expect(["cast", { n: 1 }]);
      await expectNothing(peer);
    }
  }],
  ["whoami", "is the same each time", async (stage, path) => {
    const peer = await opened(stage, path);
    const id = await peer.client.call("whoami");
    equal(/^~[\w-]{19}$/.test(id), true);
    peer.client.emit("whoami");
    await peer.expect(["whoami", id]);
  }],
  ["stats", "counts a stream until it is cancelled", async (stage, path) => {
    const { client } = await opened(stage, path);
    const abort = new AbortController();
    const item = client.pull("count", { to: 0, every_ms: anHour }, { signal: abort.signal }).next();
    const { connections, goroutines, streams } = await client.call("stats");
    equal([connections > 0, goroutines > 0, streams > 0], [true, true, true]);
    abort.abort("enough");
    await fails(item, "enough");
    await until(() => client.call("stats"), (stats) => stats.streams === 0, "end of the stream");
  }],
  ["close", "closes with the server's code", async (stage, path) => {
    const peer = await opened(stage, path);
    peer.client.emit("close");
    const why = await peer.is("closed");
    equal([why.name, why.code, why.reason], ["ClosedError", 4001, "bye"]);
  }],
  ["?token=bad", "is refused before there is a connection", async (stage, path) => {
    const once = stage.connect(`${path}?token=bad`, { reconnect: false });
    await fails(once.client.ready(), { name: "ClosedError", code: 1006 });
    await once.is("connecting", "closed");
    const again = stage.connect(`${path}?token=bad`, { reconnect: { min: 1 } });
    await again.is("connecting", "waiting", "connecting", "waiting", "connecting");
  }],
  ["?refuse=1", "is refused by OnConnect", async (stage, path) => {
    const peer = stage.connect(`${path}?refuse=1`);
    const why = await peer.is("connecting", "open", "closed");
    equal([why.code, why.reason], [1008, "refused"]);
    await fails(peer.client.ready(), why);
  }],
];

export const table = ["/ws", "/ws/events"].flatMap((path) =>
  rows.map(([event, title, run]) => [`${path} ${event}`, title, (stage) => run(stage, path)]));

async function opened(stage, path) {
  const peer = (await stage.open(path)).hear(...names);
  peer.client.on("question", (question) => question);
  return peer;
}

async function rooms(stage, path) {
  const [a, b, outside] = await Promise.all([1, 2, 3].map(() => opened(stage, path)));
  equal(await a.client.call("join", "z"), ["z"]);
  equal(await a.client.call("join", "r"), ["r", "z"]);
  equal(await a.client.call("leave", "z"), ["r"]);
  equal(await b.client.call("join", "r"), ["r"]);
  equal(await outside.client.call("join", "other"), ["other"]);
  equal(await a.client.call("say", { room: "r", text: "t" }), undefined);
  await b.expect(["said", "t"]);
  for (const peer of [a, b, outside]) await expectNothing(peer);
}

// expectNothing proves that no event had come before the answer to one of ours.
async function expectNothing(peer) {
  peer.client.emit("events", "the end");
  await peer.expect(["events", "the end"]);
}
