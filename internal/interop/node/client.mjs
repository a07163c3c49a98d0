const patience = 60_000; // ms to wait for what should come

// Client is one WebSocket that keeps what it receives, in order, until asked
// for it. Besides text frames it receives "open", "refused STATUS", "error TEXT"
// and "close CODE REASON"; "open EXTENSIONS" where they are not those wanted. A
// browser's WebSocket tells neither status nor text.
export class Client {
  #socket;
  #received = [];
  #wake = () => {};

  constructor(WebSocket, url, extensions) {
    this.ended = false;
    let opened = false;
    this.#socket = new WebSocket(url);
    this.#on("open", () => {
      opened = true;
      const { extensions: agreed } = this.#socket;
      return agreed.startsWith(extensions) && !agreed === !extensions ? "open" : `open ${agreed}`;
    });
    this.#on("message", ({ data }) => (typeof data === "string" ? data : "a binary frame"));
    this.#on("error", ({ message = "" }) => {
      const text = opened ? `error ${message}` : `refused ${/\d{3}$/.exec(message) ?? message}`;
      return text.trim();
    });
    this.#on("close", ({ code, reason }) => {
      this.ended = true;
      return `close ${code} ${reason}`.trim();
    });
  }

  #on(type, describe) {
    this.#socket.addEventListener(type, (event) => {
      this.#received.push(describe(event));
      this.#wake();
    });
  }

  send(data) {
    this.#socket.send(data);
  }

  close() {
    this.#socket.close(1000);
  }

  // peek waits for the next thing received and leaves it there.
  async peek() {
    if (this.#received.length === 0) {
      let timer;
      await new Promise((resolve, reject) => {
        this.#wake = resolve;
        timer = setTimeout(() => reject(new Error(`nothing received for ${patience} ms`)), patience);
      }).finally(() => clearTimeout(timer));
    }
    return this.#received[0];
  }

  // take removes what peek has returned.
  take() {
    this.#received.shift();
  }
}
