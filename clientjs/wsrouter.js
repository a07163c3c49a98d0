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
  #turn = 0; // counts connections and attempts that ended, so that none goes on after
  #failed = 0; // attempts since a connection that lasted
  #born = 0; // when the connection was made
  #heard = 0; // when something last came over it
  #asked = 0; // when a ping last went
  #session = null; // of the connection, if it may outlive its socket
  #lastId = 0; // no id is used twice, so a late frame meets nobody
  #exchanges = new Map(); // our requests, by id: {take(frame), fail(why)}
  #answering = new Map(); // the server's requests, by id: AbortController
  #listeners = new Map(); // by event: Set of {fn}
  #openers = new Set(); // of onOpen: {fn, run}, an AbortController
  #waiters = []; // of ready

  constructor(url, { auth, meta, reconnect = true, pingInterval = 25_000, pongTimeout = 20_000, resume = false, WebSocket = globalThis.WebSocket } = {}) {
    if (typeof WebSocket !== "function") throw new TypeError("there is no WebSocket here: pass one as an option");
    const { min = 500, max = 30_000 } = reconnect || {};
    const { maxBytes = 1 << 20 } = resume || {};
    this.#options = { auth, meta, reconnect: reconnect && { min, max }, pingInterval, pongTimeout, WebSocket };
    if (reconnect && resume) this.#options.maxBytes = maxBytes;
    this.#url = resolved(url);
    this.#connect();
  }

  get state() {
    return this.#state;
  }

  get away() {
    return this.#session?.loss !== undefined;
  }

  get recovered() {
    return this.#session?.recovered ?? false;
  }

  ready() {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#settleWaiters();
    });
  }

  emit(event, data, options) {
    this.#send(this.#frame(event, data, options));
  }

  on(event, fn) {
    const listener = { fn }; // the same function may listen twice
    const all = this.#listeners.get(named(event)) ?? new Set();
    this.#listeners.set(event, all.add(listener));
    return () => {
      if (all.delete(listener) && all.size === 0) this.#listeners.delete(event);
    };
  }

  onOpen(fn) {
    const opener = { fn };
    this.#openers.add(opener);
    if (this.#connected) queueMicrotask(() => this.#open(opener));
    return () => {
      this.#openers.delete(opener);
      opener.run?.abort();
    };
  }

  call(event, data, options) {
    return new Promise((resolve, reject) => {
      const take = (frame) => {
        if (frame.more) exchange.cancel(new Error(`${event} is answered by a stream: use pull`));
        else if (frame.event === "exception") reject(remoteError(frame.data));
        else resolve(frame.data);
      };
      const exchange = this.#request(this.#frame(event, data, options), options, take, reject);
    });
  }

  async *pull(event, data, { signal, window = 16, meta } = {}) {
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
    const exchange = this.#request({ ...this.#frame(event, data, { meta }), pull: window }, { signal }, take, fail);
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

  reconnect() {
    const socket = this.#socket;
    const next = (code) => {
      socket?.close(code, "reconnect");
      this.#connect();
    };
    this.#drop(this.away ? this.#why : new ClosedError(1000, "reconnect"));
    if (this.away) next(codeResume); // the server may think that it is back
    else this.#end(this.#why, () => next(1000));
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
    globalThis.addEventListener?.("online", this.#online); // once, however often
    const { auth, pongTimeout, maxBytes, WebSocket } = this.#options;
    const turn = this.#turn;
    let first;
    try {
      if (auth !== undefined) first = encoded({ auth: (typeof auth === "function" ? await auth() : auth) ?? null });
    } catch (err) {
      if (turn === this.#turn) this.#lost(new ClosedError(1006, "auth failed", err));
      return;
    }
    if (turn !== this.#turn) return; // closed, or begun anew, while auth took its time
    try {
      this.#socket = new WebSocket(this.#url.href, maxBytes === undefined ? protocol : [protocolWithSession, protocol]);
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
    if (!hasSession(this.#socket)) {
      if (first) this.#socket.send(first);
      this.#anew(null);
    } else if (this.away) {
      this.#socket.send(this.#session.greeting(first)); // nothing else before its answer
    } else {
      const session = this.#newSession();
      this.#socket.send(session.greeting(first));
      this.#anew(session);
    }
  }

  #newSession() {
    return new Session(this.#options.maxBytes, (n) => this.#socket.send(`{"ack":${n}}`));
  }

  // anew begins a connection in which nothing goes on of one that was lost.
  #anew(session) {
    this.#end(this.#session?.loss, () => {
      this.#session = session;
      this.#begin();
      for (const opener of [...this.#openers]) this.#open(opener);
    });
  }

  #begin() {
    clearTimeout(this.#timer);
    this.#setState("open");
    this.#watch();
  }

  // welcome takes the server's answer to the greeting.
  #welcome({ session: secret, window, received }) {
    let session = this.#session;
    if (this.#state === "open") return session.name(secret, window); // a new one, which has not waited for it
    if (received === undefined) {
      session = this.#newSession();
      session.name(secret, window);
      return this.#anew(session);
    }
    const missed = session.comeBack(received);
    if (missed === undefined) return this.#renounce();
    for (const text of missed) this.#socket.send(text);
    this.#begin();
  }

  // renounce gives up a connection of which the server has another idea than we have.
  #renounce() {
    const socket = this.#socket;
    this.#session.until = 0;
    this.#lost(new ClosedError(1006, "not resumed"));
    socket.close(1000, "not resumed");
  }

  // open runs one for this connection. What it fails with after the connection has
  // gone was to be expected; the runtime reports the rest as unhandled rejections.
  async #open(opener) {
    if (!this.#connected || !this.#openers.has(opener)) return; // one before it may close, or remove it
    const { signal } = (opener.run = new AbortController());
    try {
      await opener.fn({ signal });
    } catch (err) {
      if (!signal.aborted) throw err;
    }
  }

  // watch pings after a silence, since a page cannot see the server's own pings.
  #watch() {
    const left = this.#heard + this.#options.pingInterval - performance.now();
    if (left > 0) this.#timer = after(left, () => this.#watch());
    else this.#ping();
  }

  // Timers may be late, by a minute in a hidden tab: so what counts is not how long
  // it was silent, but whether something came after the ping.
  #ping() {
    this.#asked = performance.now();
    this.#socket.send(encoded({ ping: ++this.#lastId }));
    clearTimeout(this.#timer);
    this.#timer = after(this.#options.pongTimeout, () => (this.#heard >= this.#asked ? this.#watch() : this.#silent()));
  }

  // silent does not wait for the answer to its close frame: none may come. Nor may
  // that be taken for a goodbye, when it arrives late.
  #silent() {
    const socket = this.#socket;
    this.#lost(new ClosedError(1006, "silence"));
    if (hasSession(socket)) socket.close(codeResume, "silence");
    else socket.close();
  }

  // online: a page is told that its network is there again. The connection may have
  // gone with the old one, unseen. A ping that is out already keeps its time.
  #online = () => {
    if (this.#state === "waiting") {
      this.#drop(this.#why);
      this.#connect();
    }
    else if (this.#state === "open" && this.#heard >= this.#asked) this.#ping();
  };

  #lost(why, forGood = false) {
    const { reconnect } = this.#options;
    if (this.#state === "open" && performance.now() - this.#born >= reconnect.max) this.#failed = 0;
    const ended = forGood || !reconnect || staysAway(why.code);
    const next = () => (ended ? this.#stop() : this.#wait(reconnect));
    this.#drop(why);
    if (!ended && this.#goesAway(why)) next();
    else this.#end(ended ? why : (this.#session?.loss ?? why), next);
  }

  // goesAway reports whether the connection outlives its socket, or an attempt that
  // has failed.
  #goesAway(why) {
    const session = this.#session;
    if (session?.loss) return performance.now() < session.until;
    if (!session?.mayResume || ![1006, codeResume].includes(why.code)) return false;
    session.leave(why, () => this.#lapse());
    return true;
  }

  // lapse ends a connection that has been away for too long, unless the server is just
  // being asked.
  #lapse() {
    if (!hasSession(this.#socket)) this.#end(this.#session.loss, () => this.#setState(this.#state));
  }

  // drop lets go of a socket, or what else the client does.
  #drop(why) {
    clearTimeout(this.#timer);
    this.#turn++;
    this.#socket = null;
    this.#why = why;
  }

  // end ends a connection, then does what is next, and last tells all that went on:
  // they see what the client does now.
  #end(why, next) {
    const exchanges = [...this.#exchanges.values()];
    const runs = [...this.#answering.values(), ...[...this.#openers].map(({ run }) => run)];
    this.#answering.clear();
    this.#session?.end();
    this.#session = null;
    next();
    for (const exchange of exchanges) exchange.fail(why);
    for (const run of runs) run?.abort(why);
  }

  // wait is jittered, so that clients that were lost together do not come back
  // together.
  #wait({ min, max }) {
    const longest = Math.min(min * 2 ** this.#failed++, max);
    this.#timer = after((longest * (1 + Math.random())) / 2, () => this.#connect());
    this.#setState("waiting");
  }

  #stop() {
    globalThis.removeEventListener?.("online", this.#online);
    this.#setState("closed");
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

  get #connected() {
    return this.#state === "open" || this.away;
  }

  #frame(event, data, { meta } = {}) {
    return { event: named(event), data, meta: beside(event, this.#options.meta, meta) };
  }

  #send(frame, owed) {
    const text = encoded(frame);
    if (!this.#connected || !this.#put(text, owed)) throw new ClosedError(this.#why.code, this.#why.reason, this.#why.cause);
  }

  // put is the door out for all that belongs to the connection. It reports whether that
  // fits while the connection is away. What is owed always does: its number is bounded
  // by what goes on.
  #put(text, owed) {
    if (this.#session && !this.#session.keep(text, owed)) return false;
    if (this.#state === "open") this.#socket.send(text);
    return true;
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
      this.#send({ id, cancel: true }, true);
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
    return { cancel, credit: (n) => this.#exchanges.has(id) && this.#send({ id, pull: n }, true) };
  }

  // receive passes over what is no frame of the protocol, as clients do.
  #receive(text) {
    this.#heard = performance.now();
    const frame = parse(text);
    if (this.#session && this.#receiveForSession(frame, text)) return;
    if (frame?.re !== undefined) this.#exchanges.get(frame.re)?.take(frame);
    else if (frame?.cancel) this.#cancelAnswer(frame.id);
    else if (frame?.event !== undefined) this.#handle(frame);
  }

  // receiveForSession counts what belongs to the connection, and takes the rest.
  #receiveForSession(frame, text) {
    const session = this.#session;
    const open = this.#state === "open";
    if (typeof frame?.session === "string") this.#welcome(frame);
    else if (frame?.ack !== undefined) session.acknowledge(frame.ack);
    else if (frame?.pong === undefined && open && session.secret !== "") session.took(text);
    return !open;
  }

  // handle calls each listener in a function of its own, so that one which throws
  // does not keep others from the event. On plain events nobody takes its error,
  // and the runtime reports it as an unhandled rejection.
  #handle(frame) {
    const handler = frame.id === undefined ? undefined : new AbortController();
    const listeners = [...(this.#listeners.get(frame.event) ?? [])];
    const results = listeners.map(async ({ fn }) => fn(frame.data, { signal: handler?.signal, meta: frame.meta ?? {} }));
    if (handler) this.#answer(frame, results, handler);
  }

  async #answer({ event, id: re }, results, handler) {
    this.#answering.set(re, handler);
    const wanted = () => this.#answering.get(re) === handler; // not canceled, and its connection is there
    let text;
    try {
      if (results.length === 0) throw new WsError("no such event", { code: "not_found" });
      const data = (await Promise.all(results)).find((result) => result !== undefined);
      text = encoded({ event, data, re });
    } catch (err) {
      text = wanted() && exception(err, re);
    }
    if (!wanted()) return;
    this.#answering.delete(re);
    this.#put(text, true);
  }

  #cancelAnswer(id) {
    const handler = this.#answering.get(id);
    if (!this.#answering.delete(id)) return;
    this.#put(exception(new WsError("canceled", { code: "canceled" }), id), true);
    handler.abort();
  }
}

const protocol = "wsrouter.v1";
const protocolWithSession = "wsrouter.v1.session";
const codeResume = 4900; // come back to the connection
const maxMeta = 1024; // bytes
const utf8 = new TextEncoder();

function hasSession(socket) {
  return socket?.protocol === protocolWithSession;
}

// Session is what a connection needs that may outlive its socket. Each end numbers what
// it sends from 1 on, keeps what the other is not known to have, and counts what it gets.
//
//	   acknowledge, or too many bytes          keep
//	forgotten │ #tail ◀───────────────────────────────
//	                   #sent
class Session {
  secret = ""; // until the server has told it
  received = 0; // frames of the server's
  recovered = false;
  loss; // how the socket was lost; undefined while there is one
  until = 0; // when the client does not come back any more

  #limit;
  #acknowledge; // sends an ack
  #window = 0;
  #tail = []; // {text, size}
  #bytes = 0; // of the tail
  #sent = 0;
  #torn = 0; // the number of the last frame that was forgotten and may not have arrived
  #frames = 0; // that are not acknowledged
  #characters = 0; // of those
  #late; // acknowledges them
  #expiry;

  constructor(limit, acknowledge) {
    this.#limit = limit;
    this.#acknowledge = acknowledge;
  }

  // greeting is the first frame; auth is the one that would come first without a
  // session.
  greeting(auth) {
    const received = this.secret && `,"received":${this.received}`;
    return `{"session":${JSON.stringify(this.secret)}${received}${auth ? `,${auth.slice(1)}` : "}"}`;
  }

  name(secret, window) {
    this.secret ||= secret;
    this.#window = window;
  }

  get mayResume() {
    return this.secret !== "" && this.#torn === 0;
  }

  // keep reports false for what does not fit while the connection is away. Else the
  // oldest are forgotten. What is larger than all is kept alone.
  keep(text, owed) {
    const size = utf8.encode(text).length;
    if (this.loss && !owed && this.#bytes > 0 && this.#bytes + size > this.#limit) return false;
    this.#tail.push({ text, size });
    this.#bytes += size;
    this.#sent++;
    if (this.loss) return true;
    let surplus = 0;
    for (let bytes = this.#bytes; bytes > this.#limit && surplus < this.#tail.length - 1; surplus++) bytes -= this.#tail[surplus].size;
    if (surplus > 0) {
      this.#forget(surplus);
      this.#torn = this.#base;
    }
    return true;
  }

  // acknowledge: the first n frames have arrived.
  acknowledge(n) {
    if (!(n <= this.#sent)) return;
    this.#forget(n - this.#base);
    if (n >= this.#torn) this.#torn = 0;
  }

  // #base is the number of the last frame that is not kept.
  get #base() {
    return this.#sent - this.#tail.length;
  }

  #forget(n) {
    if (n > 0) for (const { size } of this.#tail.splice(0, n)) this.#bytes -= size;
  }

  // took counts a frame of the server's, and acknowledges it sooner or later.
  took(text) {
    this.received++;
    this.#characters += text.length;
    if (++this.#frames >= 32 || this.#characters >= 1 << 16) this.#acknowledgeAll();
    else if (this.#frames === 1) this.#late = after(1000, () => this.#acknowledgeAll());
  }

  #acknowledgeAll() {
    this.#settle();
    this.#acknowledge(this.received);
  }

  #settle() {
    clearTimeout(this.#late);
    this.#frames = this.#characters = 0;
  }

  // leave: the socket was lost. lapse is called when the window is over.
  leave(loss, lapse) {
    this.#settle(); // the greeting says it
    this.loss = loss;
    this.until = performance.now() + this.#window;
    this.#expiry = after(this.#window, lapse);
  }

  // comeBack returns what the server misses, which has the first n frames; undefined if
  // that is not all there.
  comeBack(n) {
    if (!(n >= this.#base && n <= this.#sent)) return undefined;
    this.acknowledge(n);
    clearTimeout(this.#expiry);
    this.loss = undefined;
    this.recovered = true;
    return this.#tail.map(({ text }) => text);
  }

  end() {
    this.#settle();
    clearTimeout(this.#expiry);
  }
}

// resolved does as the page's own WebSocket would. Nothing is relative to a blob, so
// a worker that is made of one takes the origin of who made it.
function resolved(url) {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const absolute = new URL(url, base?.replace(/^blob:(https?:\/\/[^/]+).*/, "$1"));
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute;
}

// encoded is JSON, with bytes in base64. JSON.stringify would make {} of much, or
// leave it out: what has a content that JSON does not see is refused.
function encoded(frame) {
  const above = []; // the objects that we are in, and their keys
  return JSON.stringify(frame, function (key, value) {
    while (above.length > 0 && above.at(-1).object !== this) above.pop();
    const refuse = (why) => {
      throw new TypeError(`${placeOf([...above.map((one) => one.key), key])} cannot be sent: ${why}`);
    };
    const source = isBytes(this[key]) ? this[key] : value; // as it was before toJSON, which Node's Buffer has
    if (isBytes(source)) return base64(source) ?? refuse("its bytes were transferred");
    if (["function", "symbol", "bigint"].includes(typeof value)) refuse(`it is a ${typeof value}`);
    if (typeof value !== "object" || value === null) return value;
    if (isOpaque(value)) refuse(`it is of class ${classOf(value)}`);
    if (above.some(({ object }) => object === value)) refuse("it is a part of itself");
    above.push({ object: value, key });
    return value;
  });
}

// placeOf writes keys as a program does: data.files[2]. The first is the frame's.
function placeOf([, first, ...keys]) {
  const step = (key) => (/^\d+$/.test(key) ? `[${key}]` : /^[\p{L}_$][\p{L}\d_$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);
  return first + keys.map(step).join("");
}

// classOf names a built-in class, in whatever window or worker it was made.
function classOf(value) {
  return Object.prototype.toString.call(value).slice(8, -1);
}

function isBytes(value) {
  return typeof value === "object" && value !== null && (ArrayBuffer.isView(value) || classOf(value) === "ArrayBuffer");
}

// isOpaque: of a class of the platform's, or one that says it is none of JSON's and
// has nothing to show.
function isOpaque(value) {
  const name = classOf(value);
  if (["Object", "Array", "String", "Number", "Boolean"].includes(name)) return false;
  return typeof globalThis[name] === "function" || Object.keys(value).length === 0;
}

// base64 returns undefined for bytes that have gone to a worker.
function base64(source) {
  let bytes;
  try {
    bytes = new Uint8Array(source.buffer ?? source, source.byteOffset, source.byteLength);
  } catch {
    return undefined;
  }
  let text = "";
  const step = 1 << 14; // no function takes any number of arguments
  for (let at = 0; at < bytes.length; at += step) text += String.fromCharCode(...bytes.subarray(at, at + step));
  return btoa(text);
}

// beside is the meta that the sources say, undefined if that is none. It is never a
// reason not to send: what fails is for the console, and what does not fit is left out.
function beside(event, ...sources) {
  let meta;
  for (const source of sources) {
    try {
      const said = typeof source === "function" ? source(event) : source;
      for (const [key, value] of Object.entries(typeof said === "object" && said || {})) {
        if (typeof value !== "string") continue;
        const longer = { ...meta, [key]: value };
        if (utf8.encode(JSON.stringify(longer)).length <= maxMeta) meta = longer;
        else if (meta && Object.hasOwn(meta, key)) meta = without(meta, key); // what it replaces does not stay
      }
    } catch (err) {
      console.error(err);
    }
  }
  return meta;
}

// without returns an object that has one key less, undefined if that was its only one.
function without(object, key) {
  const { [key]: _, ...others } = object;
  return Object.keys(others).length > 0 ? others : undefined;
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
  const frame = (data) => encoded({ event: "exception", data, re });
  try {
    if (err instanceof WsError) return frame({ status: err.status, message: err.message, code: err.code, data: err.data });
  } catch (unencodable) {
    err = unencodable;
  }
  console.error(err);
  return frame({ status: "error", message: "Internal client error" });
}
