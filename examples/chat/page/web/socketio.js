// The chat's connection by socket.io-client, in place of client.js and with the same
// methods: what NestJS front ends have. It cannot stop a stream, only stop listening.

import { io } from "./socket.io.js";

class Failure extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

// Client has the hooks of client.js.
export class Client {
  #hooks;
  #socket = null;
  #stream = Promise.resolve(); // the last one's end

  constructor(_, hooks) {
    this.#hooks = hooks;
    addEventListener("offline", () => this.#tell());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  // connect begins anew, with the present idea of who we are.
  connect() {
    this.close();
    const { auth, events, onOpen, onRefused } = this.#hooks;
    const socket = io({ auth: (tell) => tell(auth()), forceNew: true, reconnectionDelayMax: 20_000 });
    this.#socket = socket;
    for (const [event, listener] of Object.entries(events)) socket.on(event, listener);
    socket.on("connect", () => {
      this.#tell();
      onOpen();
    });
    socket.on("disconnect", () => this.#tell());
    socket.on("connect_error", (err) => {
      if (!socket.active) onRefused(err.message); // else it tries again
    });
    this.#tell();
  }

  close() {
    this.#socket?.disconnect().off();
    this.#socket = null;
  }

  // retryNow does not wait for the next try: phones and hidden pages let timers sleep.
  retryNow() {
    if (this.#socket && !this.#socket.connected) this.connect();
  }

  emit(event, data) {
    this.#socket.emit(event, data);
  }

  call(event, data) {
    return this.#ask(this.#socket, event, data);
  }

  // pull asks for a stream: its items are events, its end is the ack. Of two streams
  // at once the items could not be told apart, so one waits for the other.
  pull(event, data, onItem) {
    const socket = this.#socket;
    const before = this.#stream;
    let stop;
    let wanted = true;
    const stopped = new Promise((_, reject) => { stop = () => reject(new Failure("stopped", "canceled")); });
    const take = async () => {
      await before;
      const hear = (item) => wanted && onItem(item);
      socket.on(event, hear);
      await this.#ask(socket, event, data).finally(() => socket.off(event, hear));
    };
    const taken = take();
    this.#stream = taken.catch(() => {});
    const cancel = () => {
      wanted = false;
      stop();
    };
    return { ended: Promise.race([taken, stopped]), cancel };
  }

  // An ack that says of itself that it is an error is an exception of the server's.
  async #ask(socket, event, data) {
    if (!socket.connected) throw new Failure("not connected", "closed");
    const answer = await socket.emitWithAck(event, data).catch((err) => { throw new Failure(err.message, "closed"); });
    if (answer?.status === "error") throw new Failure(answer.message, answer.code);
    return answer;
  }

  #tell() {
    this.#hooks.onState(this.#socket?.connected ? "connected" : navigator.onLine ? "connecting" : "offline");
  }
}
