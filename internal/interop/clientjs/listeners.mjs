// Rows of what the server sends by itself: events and requests.

import { equal, fails } from "./play.mjs";

const hidden = { event: "exception", data: { status: "error", message: "Internal client error" } };

// asked asks the gateway to ask this client, and returns how that ended.
async function asked(client, question = "q") {
  return client.call("ask", question).then((answer) => ({ answer }), ({ message, code, data }) => ({ message, code, data }));
}

export const listeners = [
  ["on", "answers a request with a value or a promise", async (stage, lib = stage.env.lib) => {
    const { client } = await stage.open("/ws");
    for (const [listener, want] of [
      [(question) => ({ question }), { answer: { question: "q" } }],
      [async (question) => [question], { answer: ["q"] }],
      [() => null, { answer: null }],
      [() => 0, { answer: 0 }],
      [() => undefined, { answer: null }], // what the gateway makes of an empty answer
      [() => { throw new lib.WsError("not now", { code: "later", data: { in: 5 } }); }, { message: "not now", code: "later", data: { in: 5 } }],
      [() => Promise.reject(new lib.WsError("no")), { message: "no" }],
    ]) {
      const off = client.on("question", listener);
      equal(await asked(client), want);
      off();
    }
    equal(await asked(client), { message: "no such event", code: "not_found" });
  }],
  ["on", "keeps other errors to itself", async (stage, lib = stage.env.lib) => {
    const { client, sent } = await stage.open("/ws");
    const written = [];
    const { error } = console;
    console.error = (err) => written.push(err.message ?? String(err));
    try {
      for (const listener of [
        () => { throw new Error("secret"); },
        () => 1n,
        () => { throw new lib.WsError("unencodable", { data: 1n }); },
      ]) {
        const off = client.on("question", listener);
        equal(await asked(client), { message: hidden.data.message });
        off();
      }
    } finally {
      console.error = error;
    }
    equal(written.length, 3);
    equal(written[0], "secret");
    equal(sent.some((text) => text.includes("secret")), false);
  }],
  ["on", "answers a request that has the id of one of ours", async (stage) => {
    const { client, sent, received } = await stage.open("/ws");
    client.on("question", (question) => question + 1);
    equal(await client.call("ask", 1), 2);
    equal(sent, ['{"event":"ask","data":1,"id":1}', '{"event":"question","data":2,"re":1}']);
    equal(received, ['{"event":"question","data":1,"id":1}', '{"event":"ask","data":2,"re":1}']);
  }],
  ["on", "several requests at once", async (stage) => {
    const peers = await Promise.all([1, 2, 3].map(() => stage.open("/ws")));
    let release;
    const released = new Promise((resolve) => (release = resolve));
    peers.forEach(({ client }, i) => client.on("question", async (question) => {
      if (i === 2) release();
      await released;
      return question + i;
    }));
    equal(await Promise.all(peers.map(({ client }) => client.call("ask", 10))), [10, 11, 12]);
  }],
  ["on", "the first of several listeners that has an answer gives it", async (stage) => {
    const { client } = await stage.open("/ws");
    const calls = [];
    client.on("question", () => void calls.push("a"));
    client.on("question", async () => { calls.push("b"); return "from b"; });
    client.on("question", () => { calls.push("c"); return "from c"; });
    equal(await client.call("ask", 1), "from b");
    equal(calls, ["a", "b", "c"]);
  }],
  ["on", "is told when the server wants no answer any more", async (stage) => {
    const peer = await stage.open("/ws");
    const abort = new AbortController();
    const handled = new Promise((resolve) => {
      peer.client.on("question", (_, { signal }) => new Promise((answer) => {
        signal.addEventListener("abort", () => {
          resolve(signal.reason.name);
          answer("too late");
        });
        abort.abort("enough");
      }));
    });
    await fails(peer.client.call("ask", "q", { signal: abort.signal }), "enough");
    equal(await handled, "AbortError");
    await peer.client.call("events", 1);
    const answers = peer.sent.map((text) => JSON.parse(text)).filter(({ re }) => re !== undefined);
    equal(answers.map(({ event, data }) => [event, data.code]), [["exception", "canceled"]]);
  }],
  ["on", "sends nothing back on plain events", async (stage, lib = stage.env.lib) => {
    const peer = await stage.open("/ws");
    peer.client.on("custom", () => "an answer");
    peer.client.on("custom", async () => "another");
    peer.client.on("custom", (_, { signal }) => equal(signal, undefined));
    peer.hear("custom", "exception");
    peer.client.emit("custom", 1);
    await peer.expect(["custom", "Hey there!"], ["custom", 1]);
    const failed = stage.env.unhandled();
    peer.client.on("cast", () => { throw new lib.WsError("of a listener"); });
    peer.hear("cast");
    peer.client.emit("cast", 2);
    await peer.expect(["cast", 2]); // although a listener before it threw
    equal((await failed).message, "of a listener");
    await peer.client.call("events", 1);
    equal(peer.sent.map((text) => JSON.parse(text).event), ["custom", "cast", "events"]);
    equal(peer.events.length, 0);
  }],
  ["on", "returns how to remove the listener", async (stage) => {
    const peer = (await stage.open("/ws")).hear("cast");
    const heard = [];
    const fn = (n) => heard.push(n);
    const offs = [peer.client.on("cast", fn), peer.client.on("cast", fn)];
    const once = peer.client.on("cast", () => once());
    for (const n of [1, 2, 3]) {
      peer.client.emit("cast", n);
      await peer.expect(["cast", n]);
      offs[n - 1]?.();
      offs[n - 1]?.(); // does nothing more
    }
    equal(heard, [1, 1, 2]);
  }],
  ["on", "never hears answers", async (stage) => {
    const peer = (await stage.open("/ws")).hear("events", "exception", "numbers");
    await peer.client.call("events", 1);
    await fails(peer.client.call("fail"), { code: "E_FAIL" });
    for await (const n of peer.client.pull("numbers")) if (n === 2) break; // a late item and the end follow
    await peer.client.call("events", 1);
    equal(peer.events.length, 0);
    peer.client.emit("fail");
    equal((await peer.events.next())[1].code, "E_FAIL");
  }],
];
