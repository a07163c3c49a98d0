// A client of the plain protocol, ../../../PROTOCOL.md, that comes back by itself.

const silence = 20_000; // after so many ms without a frame it asks whether the server is there
const patience = 8_000; // and waits so long for an answer
const firstWait = 1_000; // before it tries again, twice as long each time
const longestWait = 20_000;

// Failure is what a call or a stream fails with: the server's exception, or code
// "closed" when the connection went, or was not there.
export class Failure extends Error {
  constructor(body) {
    super(body?.message ?? "Something went wrong.");
    this.code = body?.code;
  }
}

const closed = () => new Failure({ message: "Not connected.", code: "closed" });

// Client has one connection at a time. Its hooks are onOpen (a connection is there:
// say who you are to whom), onEvent(event, data), onState(state), with
// state "connecting", "connected" or "offline", and onRefused(reason).
export class Client {
  #url;
  #hooks;
  #state = "";
  #socket = null;
  #letIn = false; // the first frame says so
  #open = new Map(); // our requests, by id
  #lastId = 0;
  #failures = 0;
  #retry = 0; // timer
  #watch = 0; // timer
  #heard = 0; // when the last frame came
  #asked = 0; // when we asked for a sign of life, or 0

  constructor(url, hooks) {
    this.#url = url;
    this.#hooks = hooks;
    addEventListener("online", () => this.retryNow());
    addEventListener("offline", () => this.#ask());
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#ask(); // timers sleep in hidden pages, and phones cut their connections
      this.retryNow();
    });
  }

  get connected() {
    return this.#letIn;
  }

  // connect begins anew, with the hooks' present idea of who we are.
  connect() {
    this.close();
    this.#failures = 0;
    this.#dial();
  }

  close() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#drop();
  }

  // retryNow does not wait for the next try.
  retryNow() {
    if (!this.#retry) return;
    clearTimeout(this.#retry);
    this.#dial();
  }

  emit(event, data) {
    this.#send({ event, data });
  }

  // call asks the server and resolves with its answer.
  call(event, data) {
    return this.pull(event, data, () => {}).ended;
  }

  // pull asks for a stream. Each item goes to onItem; ended resolves after the
  // last, with the data of the last frame, if it had any.
  pull(event, data, onItem) {
    const id = ++this.#lastId;
    const ended = new Promise((resolve, reject) => {
      this.#open.set(id, { onItem, resolve, reject });
      if (this.#send({ event, data, id })) return;
      this.#open.delete(id);
      reject(closed());
    });
    const cancel = () => this.#open.has(id) && this.#send({ id, cancel: true });
    return { ended, cancel };
  }

  #dial() {
    this.#retry = 0;
    this.#tell("connecting");
    const socket = new WebSocket(this.#url, "wsrouter.v1");
    this.#socket = socket;
    socket.onopen = () => {
      this.#heard = Date.now();
      this.#watch = setInterval(() => this.#check(), 2_000);
      this.#hooks.onOpen();
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
  }

  // auth is the first frame, for onOpen.
  auth(data) {
    this.#send({ auth: data });
  }

  // tell passes a new state on. A browser that says it is offline may still reach a
  // server on this machine, so that only explains why there is no connection.
  #tell(state) {
    if (state === "connecting" && !navigator.onLine) state = "offline";
    if (state === this.#state) return;
    this.#state = state;
    this.#hooks.onState(state);
  }

  #send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #receive(frame) {
    this.#heard = Date.now();
    this.#asked = 0;
    if ("pong" in frame) return; // may come before we are let in
    if (!this.#letIn) {
      this.#letIn = true;
      this.#failures = 0;
      this.#tell("connected");
    }
    if ("re" in frame) this.#settle(frame);
    else this.#hooks.onEvent(frame.event, frame.data);
  }

  #settle({ event, data, re, more }) {
    const request = this.#open.get(re);
    if (!request) return;
    if (more) return request.onItem(data);
    this.#open.delete(re);
    if (event === "exception") request.reject(new Failure(data));
    else request.resolve(data);
  }

  // ask wants a sign of life, for browsers hide WebSocket pings from us.
  #ask() {
    if (this.#asked || !this.#send({ ping: Math.floor(performance.now()) })) return;
    this.#asked = Date.now();
  }

  #check() {
    const now = Date.now();
    if (this.#asked && now - this.#asked > patience) this.#lost(1006, "");
    else if (now - this.#heard > silence) this.#ask();
  }

  #lost(code, reason) {
    const refused = code === 1008 && !this.#letIn && reason;
    this.#drop();
    if (refused) return this.#hooks.onRefused(reason);
    this.#tell("connecting");
    // The chance in it keeps all clients from coming back in the same moment.
    const wait = Math.min(longestWait, firstWait * 2 ** this.#failures++);
    this.#retry = setTimeout(() => this.#dial(), wait * (0.5 + Math.random() / 2));
  }

  // drop lets go of the connection without waiting for its end, which on a dead
  // network takes minutes.
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#letIn = false;
    this.#asked = 0;
    clearInterval(this.#watch);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const request of open) request.reject(closed());
  }
}
