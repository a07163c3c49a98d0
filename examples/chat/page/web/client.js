// The chat's connection: the client that comes with the server, and what a page
// that people look at needs beside it.

import { ClosedError, connect, WsError } from "/wsrouter/wsrouter.js";

const options = {
  reconnect: { min: 1_000, max: 20_000 },
  pingInterval: 20_000, // ms of silence before it asks whether the server is there
  pongTimeout: 8_000, // ms that it waits for an answer
};

// Failure is what a call or a stream fails with: code "closed" when the connection
// went, or was not there, "canceled" when we stopped it, else the server's.
class Failure extends Error {
  constructor(err) {
    super(err.message);
    if (err instanceof ClosedError) this.code = "closed";
    else this.code = err instanceof WsError ? err.code : "canceled";
  }
}

// Client has hooks: auth() says who we are, onOpen that a connection is there,
// events has listeners by event, onState(state) is told "connecting", "connected"
// or "offline", and onRefused(reason) why we were not let in.
export class Client {
  #url;
  #hooks;
  #connection = null;
  #letIn = false; // the first thing we hear says so

  constructor(url, hooks) {
    this.#url = url;
    this.#hooks = hooks;
    addEventListener("offline", () => this.#tell());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  // connect begins anew, with the present idea of who we are.
  connect() {
    this.close();
    const { auth, events, onOpen, onRefused } = this.#hooks;
    const connection = connect(this.#url, { ...options, auth });
    this.#connection = connection;
    for (const [event, listener] of Object.entries(events)) {
      connection.on(event, (data) => {
        this.#hear(connection);
        listener(data);
      });
    }
    connection.onstate = (state, why) => {
      if (connection !== this.#connection) return;
      this.#letIn = false;
      if (state === "closed") return onRefused(why.reason);
      this.#tell();
      if (state === "open") onOpen();
    };
    this.#tell();
  }

  close() {
    const connection = this.#connection;
    this.#connection = null;
    this.#letIn = false;
    connection?.close();
  }

  // retryNow does not wait for the next try: phones and hidden pages let timers sleep.
  retryNow() {
    if (this.#connection?.state === "waiting") this.connect();
  }

  emit(event, data) {
    this.#connection.emit(event, data);
  }

  async call(event, data) {
    const connection = this.#connection;
    try {
      const answer = await connection.call(event, data);
      this.#hear(connection);
      return answer;
    } catch (err) {
      throw new Failure(err);
    }
  }

  // pull asks for a stream. Each item goes to onItem; ended resolves after the last.
  pull(event, data, onItem) {
    const stop = new AbortController();
    const items = this.#connection.pull(event, data, { signal: stop.signal });
    const take = async () => {
      try {
        for await (const item of items) onItem(item);
      } catch (err) {
        throw new Failure(err);
      }
    };
    return { ended: take(), cancel: () => stop.abort() };
  }

  #hear(connection) {
    if (this.#letIn || connection !== this.#connection) return;
    this.#letIn = true;
    this.#tell();
  }

  // A browser that says it is offline may still reach a server on this machine, so
  // that only explains why there is no connection.
  #tell() {
    this.#hooks.onState(this.#letIn ? "connected" : navigator.onLine ? "connecting" : "offline");
  }
}
