// The JavaScript client of wsrouter, for browsers and Node.js. wsrouter.d.ts
// describes its API, PROTOCOL.md the frames.
//
//	const client = connect("/ws");
//	client.on("news", (text) => console.log(text));
//	await client.ready();
//	const sum = await client.call("sum", [1, 2]);
//	for await (const n of client.pull("count", { to: 5 })) console.log(n);

export class WsError extends Error {
  constructor(message, { code, data, status = "error" } = {}) {
    super(message);
    Object.assign(this, { name: "WsError", status, code, data });
  }
}

export class ClosedError extends Error {
  constructor(code, reason = "", cause) {
    super(`connection closed: ${code} ${reason}`.trimEnd(), { cause });
    Object.assign(this, { name: "ClosedError", code, reason });
  }
}

export function connect(url, options) {
  return new Client(url, options);
}

class Client {
  onstate = null;

  #url;
  #options;
  #state = "connecting";
  #why = new ClosedError(1006, "not connected yet"); // how the last connection ended
  #socket = null; // events of any other are ignored
  #timer; // ends the state: a handshake, a silence, a wait
  #attempt = 0;
  #born = 0; // when the connection was made
  #heard = 0; // when something last came over it
  #lastId = 0; // no id is used twice, so a late frame meets nobody
  #exchanges = new Map(); // our requests, by id: {take(frame), fail(why)}
  #answering = new Map(); // the server's requests, by id: AbortController
  #listeners = new Map(); // by event: Set of {fn}
  #waiters = []; // of ready

  constructor(url, { auth, reconnect = true, pingInterval = 25_000, pongTimeout = 20_000, WebSocket = globalThis.WebSocket } = {}) {
    if (typeof WebSocket !== "function") throw new TypeError("there is no WebSocket here: pass one as an option");
    const { min = 500, max = 30_000 } = reconnect || {};
    this.#options = { auth, reconnect: reconnect && { min, max }, pingInterval, pongTimeout, WebSocket };
    this.#url = new URL(url, globalThis.location?.href);
    this.#url.protocol = this.#url.protocol.replace("http", "ws");
    this.#connect();
  }

  get state() {
    return this.#state;
  }

  ready() {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#settleWaiters();
    });
  }

  emit(event, data) {
    this.#send({ event: named(event), data });
  }

  on(event, fn) {
    const listener = { fn }; // the same function may listen twice
    const all = this.#listeners.get(named(event)) ?? new Set();
    this.#listeners.set(event, all.add(listener));
    return () => {
      if (all.delete(listener) && all.size === 0) this.#listeners.delete(event);
    };
  }

  call(event, data, options) {
    return new Promise((resolve, reject) => {
      const take = (frame) => {
        if (frame.more) exchange.cancel(new Error(`${event} is answered by a stream: use pull`));
        else if (frame.event === "exception") reject(remoteError(frame.data));
        else resolve(frame.data);
      };
      const exchange = this.#request({ event: named(event), data }, options, take, reject);
    });
  }

  async *pull(event, data, { signal, window = 16 } = {}) {
    if (!Number.isSafeInteger(window) || window < 1) throw new RangeError("window must be a positive integer");
    const frames = []; // that the loop has not taken yet
    let failure, wake;
    const take = (frame) => {
      frames.push(frame);
      if (frames.length > window + 1) exchange.cancel(new Error("more items came than were pulled"));
      wake?.();
    };
    const fail = (why) => {
      failure = { why };
      wake?.();
    };
    const exchange = this.#request({ event: named(event), data, pull: window }, { signal }, take, fail);
    try {
      for (let taken = 0; ; ) {
        while (frames.length === 0 && !failure) await new Promise((resolve) => (wake = resolve));
        signal?.throwIfAborted(); // whatever has come
        if (frames.length === 0) throw failure.why;
        const frame = frames.shift();
        if (frame.event === "exception" && !frame.more) throw remoteError(frame.data);
        if (frame.more || "data" in frame) yield frame.data;
        if (!frame.more) return;
        // Only now is the loop done with the item. Credit goes out in halves of the
        // window, so that few frames are needed and the producer rarely waits.
        if (++taken >= window / 2) {
          exchange.credit(taken);
          taken = 0;
        }
      }
    } finally {
      exchange.cancel(); // the loop was left; does nothing after the end
    }
  }

  close(code = 1000, reason = "") {
    if (this.#state === "closed") return;
    const socket = this.#socket;
    this.#socket = null; // its close event may come at once
    try {
      socket?.close(code, reason);
    } catch (err) {
      this.#socket = socket; // the code may not be sent
      throw err;
    }
    this.#lost(new ClosedError(code, reason), true);
  }

  async #connect() {
    this.#setState("connecting");
    const { auth, pongTimeout, WebSocket } = this.#options;
    let first;
    try {
      if (auth !== undefined) first = JSON.stringify({ auth: (typeof auth === "function" ? await auth() : auth) ?? null });
    } catch (err) {
      return this.#lost(new ClosedError(1006, "auth failed", err));
    }
    if (this.#state === "closed") return; // while auth took its time
    try {
      this.#socket = new WebSocket(this.#url.href, "wsrouter.v1");
    } catch (err) {
      return this.#lost(new ClosedError(1006, "cannot connect", err), true); // it would again
    }
    this.#timer = after(pongTimeout, () => this.#silent());
    this.#listen(this.#socket, first);
  }

  #listen(socket, first) {
    const on = (type, fn) => socket.addEventListener(type, (event) => socket === this.#socket && fn(event));
    on("open", () => this.#opened(first));
    on("message", ({ data }) => this.#receive(data));
    on("close", ({ code, reason }) => this.#lost(new ClosedError(code, reason)));
    // A close event follows and tells more, but Node's own WebSocket may forget it
    // when the handshake has failed.
    on("error", ({ error }) => this.#state === "connecting" && this.#lost(new ClosedError(1006, "cannot connect", error)));
  }

  #opened(first) {
    this.#born = this.#heard = performance.now();
    if (first) this.#socket.send(first);
    clearTimeout(this.#timer);
    this.#setState("open");
    this.#watch();
  }

  // watch pings after a silence, since a page cannot see the server's own pings.
  // Timers may be late, by a minute in a hidden tab: so what counts is not how
  // long it was silent, but whether something came after the ping.
  #watch() {
    const { pingInterval, pongTimeout } = this.#options;
    const now = performance.now();
    const left = this.#heard + pingInterval - now;
    if (left > 0) {
      this.#timer = after(left, () => this.#watch());
      return;
    }
    this.#send({ ping: ++this.#lastId });
    this.#timer = after(pongTimeout, () => (this.#heard >= now ? this.#watch() : this.#silent()));
  }

  // silent does not wait for the answer to its close frame: none may come.
  #silent() {
    const socket = this.#socket;
    this.#lost(new ClosedError(1006, "silence"));
    socket.close();
  }

  #lost(why, forGood = false) {
    const { reconnect } = this.#options;
    if (this.#state === "open" && performance.now() - this.#born >= reconnect.max) this.#attempt = 0;
    this.#stopWaiting();
    this.#socket = null;
    this.#why = why;
    const ended = forGood || !reconnect || staysAway(why.code);
    if (!ended) this.#wait(reconnect);
    this.#setState(ended ? "closed" : "waiting");
    for (const exchange of this.#exchanges.values()) exchange.fail(why);
    const handlers = [...this.#answering.values()];
    this.#answering.clear();
    for (const handler of handlers) handler.abort(why);
  }

  // wait is jittered, so that clients that were lost together do not come back
  // together. A page is told when its network is there again.
  #wait({ min, max }) {
    const longest = Math.min(min * 2 ** this.#attempt++, max);
    this.#timer = after((longest * (1 + Math.random())) / 2, this.#retry);
    globalThis.addEventListener?.("online", this.#retry);
  }

  #retry = () => {
    this.#stopWaiting();
    this.#connect();
  };

  #stopWaiting() {
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.#retry);
  }

  #setState(state) {
    this.#state = state;
    this.#settleWaiters();
    const why = state === "waiting" || state === "closed" ? this.#why : undefined;
    queueMicrotask(() => this.onstate?.(state, why)); // what it throws is its own affair
  }

  #settleWaiters() {
    if (this.#state !== "open" && this.#state !== "closed") return;
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (this.#state === "open") resolve();
      else reject(this.#why);
    }
  }

  #send(frame) {
    const text = JSON.stringify(frame);
    if (this.#state !== "open") throw new ClosedError(this.#why.code, this.#why.reason, this.#why.cause);
    this.#socket.send(text);
  }

  // request sends one. take gets its frames, and fail why no more will come.
  #request(frame, { signal, timeout } = {}, take, fail) {
    signal?.throwIfAborted();
    const id = ++this.#lastId;
    this.#send({ ...frame, id });
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      return this.#exchanges.delete(id);
    };
    const cancel = (why) => {
      if (!end()) return;
      this.#send({ id, cancel: true });
      fail(why);
    };
    const abort = () => cancel(signal.reason);
    const late = () => cancel(new DOMException(`${frame.event} took longer than ${timeout} ms`, "TimeoutError"));
    const timer = timeout === undefined ? undefined : after(timeout, late);
    signal?.addEventListener("abort", abort);
    this.#exchanges.set(id, {
      take: (got) => (got.more || end(), take(got)),
      fail: (why) => (end(), fail(why)),
    });
    return { cancel, credit: (n) => this.#exchanges.has(id) && this.#send({ id, pull: n }) };
  }

  // receive passes over what is no frame of the protocol, as clients do.
  #receive(text) {
    this.#heard = performance.now();
    const frame = parse(text);
    if (frame?.re !== undefined) this.#exchanges.get(frame.re)?.take(frame);
    else if (frame?.cancel) this.#cancelAnswer(frame.id);
    else if (frame?.event !== undefined) this.#handle(frame);
  }

  // handle calls each listener in a function of its own, so that one which throws
  // does not keep others from the event. On plain events nobody takes its error,
  // and the runtime reports it as an unhandled rejection.
  #handle(frame) {
    const handler = frame.id === undefined ? undefined : new AbortController();
    const listeners = [...(this.#listeners.get(frame.event) ?? [])];
    const results = listeners.map(async ({ fn }) => fn(frame.data, { signal: handler?.signal }));
    if (handler) this.#answer(frame, results, handler);
  }

  async #answer({ event, id: re }, results, handler) {
    this.#answering.set(re, handler);
    const wanted = () => this.#answering.get(re) === handler; // not cancelled, and its connection is there
    let text;
    try {
      if (results.length === 0) throw new WsError("no such event", { code: "not_found" });
      const data = (await Promise.all(results)).find((result) => result !== undefined);
      text = JSON.stringify({ event, data, re });
    } catch (err) {
      text = wanted() && exception(err, re);
    }
    if (!wanted()) return;
    this.#answering.delete(re);
    this.#socket.send(text);
  }

  #cancelAnswer(id) {
    const handler = this.#answering.get(id);
    if (!this.#answering.delete(id)) return;
    this.#socket.send(exception(new WsError("canceled", { code: "canceled" }), id));
    handler.abort();
  }
}

// after is setTimeout for any time: that takes more than 24 days for none.
function after(ms, fn) {
  return setTimeout(fn, Math.min(ms, 2 ** 31 - 1));
}

// named keeps off what the server would refuse without saying which request it was.
function named(event) {
  if (typeof event !== "string" || event === "") throw new TypeError("an event needs a name");
  return event;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// staysAway follows the rule of the Go client: after these codes another attempt
// would end alike, or the application wants none.
function staysAway(code) {
  return [1000, 1002, 1003, 1007, 1008, 1009, 1010].includes(code) || (code >= 4000 && code < 4500);
}

function remoteError(body) {
  if (typeof body?.message !== "string" || body.message === "") return new WsError("exception", { data: body });
  return new WsError(body.message, body);
}

// exception shows the server WsErrors only. Others are for the console.
function exception(err, re) {
  const frame = (data) => JSON.stringify({ event: "exception", data, re });
  try {
    if (err instanceof WsError) return frame({ status: err.status, message: err.message, code: err.code, data: err.data });
  } catch (unencodable) {
    err = unencodable;
  }
  console.error(err);
  return frame({ status: "error", message: "Internal client error" });
}
