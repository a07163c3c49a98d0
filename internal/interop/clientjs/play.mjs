// Runs rows, [subject, title, async (stage) => …], and gives them what they need:
// clients that are watched, and ways to say what must come. It uses nothing that
// only Node or only a browser has.

const patience = 60_000; // ms to wait for what should come

// play returns [{subject, title, error}], where error is "" for a row that passed.
// env: lib, the module wsrouter.js; WebSocket, the constructor to use; host and
// line, addresses of the server; unhandled(), which resolves with the reason of the
// next unhandled rejection.
export async function play(rows, env) {
  const results = [];
  for (const [subject, title, run] of rows) {
    const stage = new Stage(env);
    const error = await run(stage).then(() => "", (err) => err.stack ?? String(err));
    results.push({ subject, title, error });
    stage.clear();
  }
  return results;
}

class Stage {
  #peers = [];

  constructor(env) {
    this.env = env;
  }

  connect(path, options) {
    return this.dial(`ws://${this.env.host}${path}`, options);
  }

  dial(url, options) {
    const peer = new Peer(this.env, url, options);
    this.#peers.push(peer);
    return peer;
  }

  // open connects and waits for it.
  async open(path, options) {
    const peer = this.connect(path, options);
    await within(peer.client.ready(), "connection");
    await peer.is("connecting", "open");
    return peer;
  }

  async control(name) {
    const response = await fetch(`http://${this.env.host}/control/${name}`, { method: "POST" });
    equal(response.status, 200);
  }

  clear() {
    for (const { client } of this.#peers) client.close();
  }
}

// Peer is a client whose frames and states are kept.
export class Peer {
  events = new Queue();
  states = new Queue();
  sent = []; // frames, as texts
  received = [];
  frames = new Queue(); // the same again, to wait for

  constructor({ lib, WebSocket }, url, options) {
    const { sent, received, frames } = this;
    class Watched extends WebSocket {
      constructor(...args) {
        super(...args);
        this.addEventListener("message", ({ data }) => {
          received.push(data);
          frames.push(data);
        });
      }
      send(text) {
        sent.push(text);
        super.send(text);
      }
    }
    this.client = lib.connect(url, { WebSocket: Watched, ...options });
    this.client.onstate = (...change) => this.states.push(change);
  }

  // hear keeps the events of these names, for expect.
  hear(...names) {
    for (const name of names) this.client.on(name, (data) => this.events.push([name, data]));
    return this;
  }

  async expect(...events) {
    for (const want of events) equal(await this.events.next(), want);
  }

  // is takes the next changes of state, and returns the reason of the last.
  async is(...states) {
    let why;
    for (const want of states) {
      let state;
      [state, why] = await this.states.next();
      equal(state, want);
    }
    return why;
  }
}

class Queue {
  #items = [];
  #wake = () => {};

  push(item) {
    this.#items.push(item);
    this.#wake();
  }

  get length() {
    return this.#items.length;
  }

  async next() {
    if (this.#items.length === 0) await within(new Promise((resolve) => (this.#wake = resolve)), "item of the queue");
    return this.#items.shift();
  }
}

export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} for ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// equal compares JSON values, and undefined.
export function equal(got, want) {
  const [g, w] = [got, want].map((value) => JSON.stringify(value) ?? "undefined");
  if (g !== w) throw new Error(`got  ${g}\nwant ${w}`);
}

// fails waits for a rejection and compares what it says of itself.
export async function fails(promise, want) {
  const err = await within(promise.then(() => { throw new Error("it did not fail"); }, (err) => err), "failure");
  if (typeof want !== "object") {
    if (err !== want) throw new Error(`failed with ${err?.stack}, not with ${want}`);
    return err;
  }
  const got = Object.fromEntries(Object.keys(want).map((key) => [key, err?.[key]]));
  try {
    equal(got, want);
  } catch (differs) {
    throw new Error(`${differs.message}\n${err?.stack}`);
  }
  return err;
}

// throws is fails for what throws at once.
export function throws(fn, want) {
  return fails((async () => fn())(), want);
}

export async function collect(items) {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

// until asks, a round trip each time, until the answer is right.
export async function until(ask, right, what) {
  const end = performance.now() + patience;
  for (;;) {
    const answer = await ask();
    if (right(answer)) return answer;
    if (performance.now() > end) throw new Error(`no ${what} for ${patience} ms, but ${JSON.stringify(answer)}`);
  }
}

export const pause = () => new Promise((resolve) => setTimeout(resolve, 1));

// heldTimers keeps timers that take so many ms, or more, from the runtime. run gets
// what lets the last of them fire that was not cleared.
export async function heldTimers(ms, run) {
  const { setTimeout, clearTimeout } = globalThis;
  const held = [];
  globalThis.setTimeout = (fn, after, ...args) => {
    if (!(after >= ms)) return setTimeout(fn, after, ...args);
    return held[held.push({ fn }) - 1];
  };
  globalThis.clearTimeout = (timer) => (held.includes(timer) ? held.splice(held.indexOf(timer), 1) : clearTimeout(timer));
  try {
    await run(() => held.pop()?.fn());
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
}
