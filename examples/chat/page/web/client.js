// The chat's connection: the client that comes with the server, and what a page
// that people look at needs beside it.

import { ClosedError, connect, WsError } from "/wsrouter/wsrouter.js";

const options = {
  resume: true, // come back to the connection that was lost
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
// events has listeners by event, onState(state, away) is told "connecting", "connected"
// or "offline", and whether we try to come back to what was lost. onBack says that we have,
// and onRefused(reason) why we were not let in.
export class Client {
  #url;
  #hooks;
  #connection = null;
  #wanted = false;
  #letIn = false; // the first thing we hear says so

  constructor(url, hooks) {
    this.#url = url;
    this.#hooks = hooks;
    addEventListener("offline", () => this.#doubt());
    addEventListener("online", () => this.#tell());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  // connect begins anew, with the present idea of who we are.
  connect() {
    this.#wanted = true;
    this.#letIn = false;
    if (this.#connection) this.#connection.reconnect();
    else this.#begin();
    this.#tell();
  }

  #begin() {
    const { auth, events, onOpen, onBack, onRefused } = this.#hooks;
    this.#connection = connect(this.#url, { ...options, auth });
    for (const [event, listener] of Object.entries(events)) {
      this.#connection.on(event, (data) => {
        this.#hear();
        listener(data);
      });
    }
    this.#connection.onOpen(onOpen);
    this.#connection.onstate = (state, why) => {
      const back = state === "open" && this.#connection.recovered;
      this.#letIn = back; // with nothing missed there is nothing to hear
      if (back) onBack();
      if (state !== "closed") this.#tell();
      else if (this.#wanted) onRefused(why.reason);
    };
  }

  close() {
    this.#wanted = false;
    this.#connection?.close();
  }

  // retryNow does not wait for the next try: phones and hidden pages let timers sleep.
  retryNow() {
    if (this.#connection?.state === "waiting") this.#connection.reconnect();
  }

  emit(event, data) {
    this.#connection.emit(event, data);
  }

  async call(event, data) {
    try {
      const answer = await this.#connection.call(event, data);
      this.#hear();
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

  #hear() {
    if (this.#letIn) return;
    this.#letIn = true;
    this.#tell();
  }

  // doubt: the browser says that it is offline. It may still reach a server on this
  // machine, so we ask again for what we want there; whoever answers is heard.
  #doubt() {
    this.#letIn = false;
    this.#tell();
    if (this.#connection?.state === "open") this.#hooks.onOpen();
  }

  #tell() {
    const state = this.#letIn ? "connected" : navigator.onLine ? "connecting" : "offline";
    if (this.#wanted) this.#hooks.onState(state, this.#connection?.away);
  }
}
