// Rows of a connection's beginning and end, and of the next one.

import { equal, fails, heldTimers, pause, throws, until, within } from "./play.mjs";

const anHour = 3_600_000;
const soon = { min: 10, max: 50 };

export const connections = [
  ["close", "fails what goes on, and what is asked later", async (stage) => {
    const peer = await stage.open("/ws");
    const { client } = peer;
    const going = [client.call("slow", { ms: anHour }), client.pull("count", { to: 0, every_ms: anHour }).next()];
    client.close(4321, "enough");
    equal(client.state, "closed");
    const closed = { name: "ClosedError", code: 4321, reason: "enough" };
    await Promise.all(going.map((promise) => fails(promise, closed)));
    await fails(client.call("events", 1), closed);
    await fails(client.pull("events", 1).next(), closed);
    await fails(client.ready(), closed);
    await throws(() => client.emit("events", 1), closed);
    await fails(Promise.reject(await peer.is("closed")), closed);
    client.close(); // does nothing more
    equal(peer.states.length, 0);
  }],
  ["close", "tells the server, after what was sent before", async (stage) => {
    for (const [args, want] of [[[], { code: 1000, reason: "" }], [[4321, "enough"], { code: 4321, reason: "enough" }]]) {
      const [peer, witness] = await Promise.all([stage.open("/own"), stage.open("/own")]);
      const id = await peer.client.call("whoami");
      peer.client.close(...args);
      equal(await witness.client.call("ended", id), want);
    }
    const [peer, witness] = await Promise.all([stage.open("/ws"), stage.open("/ws")]);
    witness.hear("cast");
    await witness.client.call("whoami");
    peer.client.emit("cast", "last words");
    peer.client.close();
    await witness.expect(["cast", "last words"]);
  }],
  ...[1000, 1002, 1003, 1007, 1008, 1009, 1010, 4000, 4001, 4499].map((code) => ["close", `${code} from the server is for good`, async (stage) => {
    const peer = await stage.open("/own", { reconnect: soon });
    const call = peer.client.call("produced");
    peer.client.emit("close", { code, reason: "why" });
    await call;
    const why = await peer.is("closed");
    equal([why.code, why.reason], [code, "why"]);
    await fails(peer.client.ready(), why);
  }]),
  ...[1001, 1011, 1012, 1013, 3000, 4500, 4999].map((code) => ["close", `${code} from the server is not`, async (stage) => {
    const peer = await stage.open("/own", { reconnect: soon });
    peer.client.emit("close", { code, reason: "why" });
    const why = await peer.is("waiting");
    equal([why.code, why.reason], [code, "why"]);
    await throws(() => peer.client.emit("produced"), { name: "ClosedError", code, reason: "why" });
    await within(peer.client.ready(), "connection");
    await peer.is("connecting", "open");
    await peer.client.call("produced");
  }]),
  ["close", "without reconnect is for good", async (stage) => {
    const peer = await stage.open("/own", { reconnect: false });
    peer.client.emit("close", { code: 1012 });
    equal((await peer.is("closed")).code, 1012);
  }],
  ["close", "while connecting, or waiting", async (stage) => {
    const connecting = stage.connect("/ws");
    connecting.client.close();
    await fails(connecting.client.ready(), { code: 1000 });
    await connecting.is("connecting", "closed");

    const waiting = await stage.open("/own", { reconnect: { min: anHour, max: anHour } });
    waiting.client.emit("close", { code: 1012 });
    await waiting.is("waiting");
    const ready = waiting.client.ready();
    waiting.client.close();
    await fails(ready, { code: 1000 });
    await waiting.is("closed");
  }],

  ["connect", "takes http URLs", async (stage) => {
    for (const url of [`http://${stage.env.host}/ws`, new URL(`http://${stage.env.host}/ws`)]) {
      const { client } = stage.dial(url);
      await client.ready();
      equal(await client.call("events", 1), 1);
    }
  }],
  ["connect", "throws what it cannot begin with", async (stage) => {
    const { connect } = stage.env.lib;
    await throws(() => connect(`ws://${stage.env.host}/ws`, { WebSocket: null }), { name: "TypeError" });
    await throws(() => connect("http://[", { WebSocket: stage.env.WebSocket }), { name: "TypeError" });
  }],
  ["connect", "queues nothing until it is open", async (stage) => {
    const peer = stage.connect("/ws");
    const away = { name: "ClosedError", code: 1006, reason: "not connected yet" };
    equal(peer.client.state, "connecting");
    await throws(() => peer.client.emit("events", 1), away);
    await fails(peer.client.call("events", 1), away);
    await peer.client.ready();
    equal(peer.client.state, "open");
    await peer.client.ready();
    equal(await peer.client.call("events", 2), 2);
  }],

  ["reconnect", "after the server was killed", async (stage) => {
    const peer = await stage.open("/ws", { reconnect: soon });
    const { client } = peer;
    const heard = [];
    client.on("cast", (n) => heard.push(n));
    const going = [client.call("slow", { ms: anHour }), client.pull("count", { to: 0, every_ms: anHour }).next()];
    const failing = going.map((promise) => fails(promise, { name: "ClosedError", code: 1006 }));
    await stage.control("kill");
    await Promise.all(failing);
    await peer.is("waiting", "connecting", "waiting", "connecting", "waiting");
    await fails(client.call("events", 1), { name: "ClosedError", code: 1006 });
    await stage.control("start");
    await within(client.ready(), "connection");
    equal(await client.call("events", "again"), "again");
    await client.call("cast", 1);
    equal(heard, [1]); // listeners stay
  }],
  ["reconnect", "after the server was restarted", async (stage) => {
    const peer = await stage.open("/ws", { reconnect: soon });
    await stage.control("stop");
    equal((await peer.is("waiting")).code, 1001);
    await stage.control("start");
    await within(peer.client.ready(), "connection");
    equal(await peer.client.call("events", "again"), "again");
  }],

  ["auth", "is the first frame", async (stage) => {
    for (const [auth, want] of [[{ token: "t" }, { token: "t" }], [0, 0], [null, null], [() => undefined, null], [async () => ["t"], ["t"]]]) {
      const peer = await stage.open("/auth", { auth });
      equal(await peer.client.call("auth"), want);
      equal(peer.sent[0], JSON.stringify({ auth: want }));
    }
  }],
  ["auth", "is missing", async (stage) => {
    const peer = await stage.open("/auth");
    peer.client.emit("events", 1);
    equal((await peer.is("closed")).code, 1008);
  }],
  ["auth", "is called at each connect", async (stage) => {
    let n = 0;
    const peer = await stage.open("/auth", { auth: async () => ++n, reconnect: soon });
    for (let round = 1; round <= 3; round++) {
      equal(await peer.client.call("auth"), round);
      peer.client.emit("close", { code: 1012 });
      await peer.is("waiting", "connecting", "open");
    }
    equal(n, 4);
  }],
  ["auth", "may fail", async (stage) => {
    const ouch = new Error("ouch");
    let n = 0;
    const auth = () => {
      if (++n < 3) throw ouch;
      return n;
    };
    const peer = stage.connect("/auth", { auth, reconnect: soon });
    const why = await peer.is("connecting", "waiting");
    equal([why.name, why.code, why.cause === ouch], ["ClosedError", 1006, true]);
    await peer.is("connecting", "waiting", "connecting", "open");
    equal(await peer.client.call("auth"), 3);

    const unencodable = stage.connect("/auth", { auth: 1n, reconnect: false });
    equal((await unencodable.is("connecting", "closed")).cause.name, "TypeError");

    const once = stage.connect("/auth", { auth: () => Promise.reject(ouch), reconnect: false });
    equal((await fails(once.client.ready(), { name: "ClosedError" })).cause === ouch, true);
  }],
  ["auth", "takes its time, and the client is closed meanwhile", async (stage) => {
    let finish;
    const peer = stage.connect("/auth", { auth: () => new Promise((resolve) => (finish = resolve)) });
    peer.client.close();
    finish("too late");
    await peer.is("connecting", "closed");
    equal([peer.client.state, peer.sent.length], ["closed", 0]);
  }],

  ["silence", "is ended by pings", (stage) => heldTimers(anHour, async (late) => {
    const peer = await stage.open("/own", { pingInterval: 50, pongTimeout: anHour });
    equal(await peer.frames.next(), '{"pong":1}');
    await pause(); // the client hears it after us
    late();
    equal(await peer.frames.next(), '{"pong":2}');
    equal([peer.client.state, peer.states.length], ["open", 0]);
    equal(peer.sent, ['{"ping":1}', '{"ping":2}']);
  })],
  ["silence", "of a line that is dead is noticed, and of a handshake", (stage) => heldTimers(anHour, async (late) => {
    const options = { pingInterval: 50, pongTimeout: anHour, reconnect: soon };
    const peer = stage.dial(`ws://${stage.env.line}/own`, options);
    await peer.is("connecting", "open");
    const { client } = peer;
    await client.call("produced");
    await stage.control("stall");
    const silence = { name: "ClosedError", code: 1006, reason: "silence" };
    const failing = fails(client.call("produced"), silence);
    await until(async () => { // what was on its way may still come
      late();
      await pause();
      return client.state;
    }, (state) => state !== "open", "end of the silence");
    await failing;
    await fails(Promise.reject(await peer.is("waiting")), silence);
    await peer.is("connecting");
    late(); // nobody has answered
    await fails(Promise.reject(await peer.is("waiting")), silence);
    await stage.control("resume");
    await within(client.ready(), "connection");
    equal(typeof await client.call("produced"), "number");
  })],
];

// pageConnections are rows that only a page has.
export const pageConnections = [
  ["connect", "takes URLs relative to the page", async (stage) => {
    for (const url of ["/ws", "ws", "./ws?x=1", location.origin + "/ws"]) {
      const { client } = stage.dial(url);
      await client.ready();
      equal(await client.call("events", url), url);
    }
  }],
  ["reconnect", "waits no longer when the network is back", async (stage) => {
    const peer = await stage.open("/own", { reconnect: { min: anHour, max: anHour } });
    dispatchEvent(new Event("online")); // does nothing yet
    peer.client.emit("close", { code: 1012 });
    await peer.is("waiting");
    dispatchEvent(new Event("online"));
    dispatchEvent(new Event("online"));
    await peer.is("connecting", "open");
    await peer.client.call("produced");
    equal(peer.states.length, 0);
  }],
  ["close", "throws for a code that may not be sent, and goes on", async (stage) => {
    const { client } = await stage.open("/ws");
    await throws(() => client.close(1001), { name: "InvalidAccessError" });
    equal(await client.call("events", 1), 1);
  }],
];
