// A socket.io-client that keeps what it receives, in order, until asked for it.
// Nothing here is Node's own: a page plays the same rows.

export const patience = 60_000; // ms to wait for what should come

// show makes text of a value: equal texts are equal values. Bytes are told apart
// from everything else, undefined from null, and the order of keys is left out.
export function show(value) {
  if (value === undefined) {
    return "undefined";
  }
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    const bytes = ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);
    return `bytes(${bytes.length > 20 ? `${bytes.length} of them, sum ${bytes.reduce((a, b) => a + b)}` : bytes})`;
  }
  if (Array.isArray(value)) {
    return `[${value.map(show)}]`;
  }
  if (value !== null && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${key}:${show(value[key])}`)}}`;
  }
  return JSON.stringify(value);
}

export function equal(got, want, what = "") {
  if (show(got) !== show(want)) {
    throw new Error(`${what}\ngot  ${show(got)}\nwant ${show(want)}`);
  }
}

// within fails a promise that takes too long.
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing for ${patience} ms`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export class Peer {
  #received = [];
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.onAny((event, ...args) => {
      if (typeof args.at(-1) !== "function") {
        this.#receive(event, ...args);
      }
    });
    socket.on("question", (question, answer) => answer(question));
    socket.on("connect", () => this.#receive("(connect)"));
    socket.on("connect_error", (err) => this.#receive("(connect_error)", err.message, err.data));
    socket.on("disconnect", (reason) => this.#receive("(disconnect)", reason));
  }

  #receive(...event) {
    this.#received.push(event);
    this.#wake();
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  // call emits and returns all that the ack carries: emitWithAck, which clients
  // before 4.6 have not, would tell its first value alone.
  call(event, ...args) {
    return within(new Promise((resolve) => this.socket.emit(event, ...args, (...answer) => resolve(answer))), `ack of ${event}`);
  }

  // ask is emitWithAck where there is one.
  async ask(event, ...args) {
    if (this.socket.emitWithAck) {
      return within(this.socket.emitWithAck(event, ...args), `ack of ${event}`);
    }
    return (await this.call(event, ...args))[0];
  }

  async next() {
    if (this.#received.length === 0) {
      await within(new Promise((resolve) => { this.#wake = resolve; }), "an event");
    }
    return this.#received.shift();
  }

  // unread puts back what next has taken.
  unread(events) {
    this.#received.unshift(...events);
  }

  // expect takes the next things received: events as [name, ...args], and
  // ["(connect)"], ["(connect_error)", message, data], ["(disconnect)", reason].
  async expect(...events) {
    for (const want of events) {
      const got = await this.next().catch((err) => { throw new Error(`want ${show(want)}\n${err.message}`); });
      equal(got, want);
    }
  }

  // expectNothing proves that nothing had come before the answer to a question
  // of ours, and that the connection is alive.
  async expectNothing() {
    equal(await this.call("events", "the end"), ["the end"], "the last question");
    equal(this.#received, [], "received beside what was expected");
  }

  // closed waits until the client has closed the transport.
  async closed() {
    const { engine } = this.socket.io;
    if (engine.readyState !== "closed") {
      await within(new Promise((resolve) => engine.once("close", resolve)), "the transport's end");
    }
  }

  // upgraded waits until a WebSocket carries the connection.
  async upgraded() {
    const { engine } = this.socket.io;
    if (engine.transport.name !== "websocket") {
      await within(new Promise((resolve) => engine.once("upgrade", resolve)), "the upgrade");
    }
    equal(engine.transport.name, "websocket", "the transport");
  }
}

// play runs rows one after another, up to the first that fails, and returns
// [{event, title, error}], where error is "" for a row that passed. A row is
// [event, title, async (stage) => …]. Options: io, the client's function of that
// name; url; namespace; transports, undefined for the client's default.
export async function play(rows, options) {
  const results = [];
  for (const [event, title, act] of rows) {
    const stage = new Stage(options);
    try {
      await act(stage);
      results.push({ event, title, error: "" });
    } catch (err) {
      results.push({ event, title, error: err.message });
      break;
    } finally {
      await stage.close();
    }
  }
  return results;
}

class Stage {
  #peers = [];

  constructor(options) {
    Object.assign(this, options);
  }

  // open makes a peer that may be refused.
  open(options = {}, namespace = this.namespace) {
    const { query, ...rest } = options;
    const socket = this.io(this.url + namespace, { forceNew: true, timeout: patience, transports: this.transports, query, ...rest });
    return this.keep(socket);
  }

  keep(socket) {
    const peer = new Peer(socket);
    this.#peers.push(peer);
    return peer;
  }

  async connect(options, namespace) {
    const peer = this.open(options, namespace);
    await peer.expect(["(connect)"]);
    return peer;
  }

  // close says goodbye, since a server waits for polling clients that do not.
  async close() {
    await Promise.all(this.#peers.map((peer) => {
      peer.socket.disconnect();
      return peer.closed();
    }));
  }
}
