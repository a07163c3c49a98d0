// Rows of what is done at each connection, of a connection that the page wants anew,
// and of a network that is there again.

import { equal, fails, throws, within } from "./play.mjs";
import { fake, FakeSocket, fakeTimes, settled } from "./frames.mjs";

const anHour = 3_600_000;
const soon = { min: 10, max: 50 };

// withNetwork runs a row with a network of its own: online() says that it is there
// again, listening() how many want to know.
async function withNetwork(run) {
  const target = new EventTarget();
  const fns = new Set();
  const replaced = {
    addEventListener: (type, fn) => (fns.add(fn), target.addEventListener(type, fn)),
    removeEventListener: (type, fn) => (fns.delete(fn), target.removeEventListener(type, fn)),
  };
  const own = Object.keys(replaced).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  Object.assign(globalThis, replaced);
  try {
    await run({ online: () => target.dispatchEvent(new Event("online")), listening: () => fns.size });
  } finally {
    for (const [name, was] of own) {
      delete globalThis[name];
      if (was) Object.defineProperty(globalThis, name, was);
    }
  }
}

export const openings = [
  ["onOpen", "runs for each connection, before ready resolves", async (stage) => {
    const peer = stage.connect("/own", { reconnect: soon });
    const order = [];
    peer.client.onOpen(async ({ signal }) => {
      order.push(["a", signal.aborted, peer.client.state]);
      order.push(["a is", typeof await peer.client.call("whoami")]);
    });
    peer.client.onOpen(() => void order.push(["b"]));
    const once = [["a", false, "open"], ["b"], ["ready"], ["a is", "string"]];
    for (let round = 0; round < 3; round++) {
      await within(peer.client.ready(), "connection");
      order.push(["ready"]);
      await peer.client.call("whoami");
      equal(order.splice(0), once);
      await peer.is("connecting", "open");
      peer.client.emit("close", { code: 1012 });
      await peer.is("waiting");
    }
  }],
  ["onOpen", "runs soon where there is a connection, and until it is removed", async (stage) => {
    const { client } = await stage.open("/own", { reconnect: soon });
    let runs = 0;
    let signal;
    const remove = client.onOpen((connection) => {
      runs++;
      ({ signal } = connection);
    });
    equal(runs, 0); // so that remove is known in it
    await settled();
    equal([runs, signal.aborted], [1, false]);
    remove();
    equal([signal.aborted, signal.reason.name], [true, "AbortError"]);
    client.onOpen(() => runs++)(); // removed before it ran
    client.reconnect();
    await client.ready();
    await client.call("whoami");
    equal(runs, 1);
  }],
  ["onOpen", "watches again what was watched", async (stage) => {
    const peer = await stage.open("/own", { reconnect: soon });
    const ends = [];
    let items = 0;
    let wake;
    const remove = peer.client.onOpen(async ({ signal }) => {
      signal.addEventListener("abort", () => ends.push(signal.reason));
      for await (const _ of peer.client.pull("produce", null, { signal })) if (++items % 20 === 0) wake?.();
    });
    for (const code of [1012, 1001]) {
      await within(new Promise((resolve) => (wake = resolve)), "items");
      peer.client.emit("close", { code });
      await peer.is("waiting", "connecting", "open");
      equal([ends.at(-1).name, ends.at(-1).code], ["ClosedError", code]);
    }
    await within(new Promise((resolve) => (wake = resolve)), "items");
    remove();
    equal(peer.sent.filter((text) => text.includes('"cancel":true')).length, 1);
    equal([ends.length, peer.client.state], [3, "open"]);
  }],
  ["onOpen", "what fails with the connection is expected, what else is reported", async (stage) => {
    const peer = await stage.open("/own", { reconnect: soon });
    const { client } = peer;
    let failing;
    let ran = 0;
    client.onOpen(() => {
      if (failing) throw failing;
      return client.call("produce"); // fails, as the answer is a stream, or with the connection
    });
    client.onOpen(() => void ran++);
    let unhandled = stage.env.unhandled();
    equal((await within(unhandled, "report")).message, "produce is answered by a stream: use pull");
    failing = new Error("ouch");
    unhandled = stage.env.unhandled();
    client.reconnect();
    equal(await within(unhandled, "report") === failing, true);
    equal(ran, 2); // although the one before it threw

    const { client: another, socket } = await fake(stage, { reconnect: false });
    const lost = another.call("e");
    another.onOpen(() => lost);
    await settled();
    const next = stage.env.unhandled(); // the next one would be lost's
    socket.fire("close", { code: 1006, reason: "" });
    await settled();
    const mark = new Error("mark");
    Promise.reject(mark);
    equal(await within(next, "report") === mark, true);
  }],
  ["onOpen", "may close, and no other runs", async (stage) => {
    const { client, socket } = await fake(stage, { reconnect: false });
    client.close();
    let runs = 0;
    client.onOpen(() => client.close());
    client.onOpen(() => runs++);
    client.reconnect();
    FakeSocket.last.fire("open");
    await settled();
    equal([client.state, runs, FakeSocket.last === socket], ["closed", 0, false]);
  }],

  ["reconnect", "when it is open ends what goes on", async (stage) => {
    const [peer, witness] = await Promise.all([stage.open("/own"), stage.open("/own")]);
    const { client } = peer;
    const id = await client.call("whoami");
    const items = client.pull("produce", null, { window: 1 });
    equal((await items.next()).value, 1);
    const call = fails(client.call("ended", "nobody"), { name: "ClosedError", code: 1000, reason: "reconnect" });
    client.reconnect();
    equal(client.state, "connecting");
    const failed = { name: "ClosedError", code: 1000, reason: "reconnect" };
    await throws(() => client.emit("whoami"), failed);
    await fails(items.next(), failed);
    await call;
    await within(client.ready(), "connection");
    await peer.is("connecting", "open");
    equal(await client.call("whoami") === id, false);
    equal(await witness.client.call("ended", id), { code: 1000, reason: "reconnect" });
  }],
  ["reconnect", "when it waits waits no longer", async (stage) => {
    const peer = await stage.open("/own", { reconnect: { min: anHour, max: anHour } });
    peer.client.emit("close", { code: 1012 });
    await peer.is("waiting");
    peer.client.reconnect();
    await peer.is("connecting", "open");
    await peer.client.call("produced");
  }],
  ["reconnect", "when it is closed for good begins again, with auth of now", async (stage) => {
    let name = "a";
    const peer = await stage.open("/auth", { auth: () => ({ name }), reconnect: false });
    peer.client.emit("close", { code: 1008, reason: "no" });
    equal((await peer.is("closed")).reason, "no");
    name = "b";
    peer.client.reconnect();
    await within(peer.client.ready(), "connection");
    equal(await peer.client.call("auth"), { name: "b" });
    await peer.is("connecting", "open");
  }],
  ["reconnect", "while auth or the handshake takes its time", async (stage) => {
    const finish = [];
    const auth = () => new Promise((resolve, reject) => finish.push({ resolve, reject }));
    const { made } = FakeSocket;
    const peer = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, auth });
    peer.client.reconnect();
    peer.client.reconnect();
    finish[0].resolve("old");
    finish[1].reject(new Error("old"));
    await settled();
    equal([FakeSocket.made - made, peer.client.state], [0, "connecting"]);
    finish[2].resolve("new");
    await settled();
    const old = FakeSocket.last;
    peer.client.reconnect();
    equal(old.closed, 1);
    old.fire("open");
    finish[3].resolve("newest");
    await settled();
    FakeSocket.last.fire("open");
    equal([FakeSocket.made - made, old.sent, FakeSocket.last.sent, peer.client.state], [2, [], ['{"auth":"newest"}'], "open"]);
  }],
  ["auth", "fails, and the client is closed meanwhile", async (stage) => {
    let fail;
    const peer = stage.connect("/auth", { auth: () => new Promise((_, reject) => (fail = reject)) });
    peer.client.close();
    fail(new Error("too late"));
    await settled();
    await peer.is("connecting", "closed");
    equal([peer.client.state, peer.states.length], ["closed", 0]);
  }],

  ["online", "asks at once whether the line is dead", (stage) => withNetwork(async ({ online }) => {
    const peer = stage.dial(`ws://${stage.env.line}/own`, { pingInterval: anHour, pongTimeout: 5_000, reconnect: soon });
    await peer.is("connecting", "open");
    online();
    equal(await peer.frames.next(), '{"pong":1}');
    await stage.control("stall");
    online();
    const why = await peer.is("waiting");
    await stage.control("resume");
    equal([why.code, why.reason], [1006, "silence"]);
    await within(peer.client.ready(), "connection");
  })],
  ["online", "again and again puts off no end, and no handshake", (stage) => withNetwork(async ({ online, listening }) => {
    const { now } = performance;
    let time = 0;
    performance.now = () => time;
    const before = listening();
    try {
      await fakeTimes(1, async (timers) => {
        const { client } = stage.dial("ws://fake/ws", { WebSocket: FakeSocket, reconnect: { min: anHour, max: anHour } });
        const socket = FakeSocket.last;
        online();
        equal([FakeSocket.last === socket, timers.map(({ ms }) => ms)], [true, [20_000]]);
        socket.fire("open");
        time = 5_000;
        online();
        equal([socket.sent, timers.at(-1).ms], [['{"ping":1}'], 20_000]);
        const end = timers.at(-1);
        time = 15_000;
        online();
        equal([socket.sent.length, timers.at(-1) === end], [1, true]);
        socket.deliver('{"pong":1}');
        time = 16_000;
        online();
        equal(socket.sent, ['{"ping":1}', '{"ping":2}']);
        time = 36_000;
        timers.at(-1).fn();
        equal([client.state, timers.at(-1).ms], ["waiting", anHour]);
        online();
        online();
        equal([client.state, FakeSocket.last === socket], ["connecting", false]);
        equal(listening(), before + 1);
        client.close();
        equal(listening(), before);
        client.reconnect();
        equal(listening(), before + 1);
        client.close();
      });
    } finally {
      performance.now = now;
    }
  })],
];

// pageOpenings are rows that only a page has.
export const pageOpenings = [
  ["connect", "is relative to the page's base", async (stage) => {
    const base = document.head.appendChild(document.createElement("base"));
    base.href = "/ws/deeper?x#y";
    try {
      for (const url of ["events", "./events", "/ws/events", "//" + location.host + "/ws/events"]) {
        const { client } = stage.dial(url);
        await client.ready();
        equal(await client.call("events", url), url);
      }
    } finally {
      base.remove();
    }
  }],
  ["connect", "in a page without an address takes that of its parent", async () => {
    const frame = document.createElement("iframe");
    frame.srcdoc = `<script type="module">${connecting("parent.postMessage")}</script>`;
    const answer = messageTo(globalThis);
    document.body.append(frame);
    equal(await within(answer, "answer"), "hi");
    frame.remove();
  }],
  ...["worker", "page"].map((kind) => ["connect", `in a ${kind} made from a blob takes the origin of its maker`, async () => {
    const post = kind === "worker" ? "postMessage" : "parent.postMessage";
    const text = kind === "worker" ? connecting(post) : `<script type="module">${connecting(post)}</script>`;
    const url = URL.createObjectURL(new Blob([text], { type: kind === "worker" ? "text/javascript" : "text/html" }));
    const made = kind === "worker" ? new Worker(url, { type: "module" }) : Object.assign(document.createElement("iframe"), { src: url });
    const answer = messageTo(kind === "worker" ? made : globalThis);
    if (kind === "page") document.body.append(made);
    equal(await within(answer, "answer"), "hi");
    if (kind === "worker") made.terminate();
    else made.remove();
    URL.revokeObjectURL(url);
  }]),
];

const messageTo = (target) => new Promise((resolve) => target.addEventListener("message", ({ data }) => resolve(data), { once: true }));

// connecting is a module that posts what the server answers, or why it does not.
function connecting(post) {
  return `
    import { connect } from "${location.origin}/wsrouter/wsrouter.js";
    const say = async () => {
      for (const url of ["/ws", "${location.origin}/ws"]) {
        const client = connect(url, { reconnect: false });
        await client.ready();
        var answer = await client.call("events", "hi");
        client.close();
      }
      return answer;
    };
    say().catch(String).then((answer) => ${post}(answer${post === "postMessage" ? "" : ', "*"'}));`;
}
