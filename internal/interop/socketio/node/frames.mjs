// Sends raw frames and tells what comes back:
//
//	node frames.mjs CASES URL [COUNTS]
//
// CASES is MODULE, or MODULE:EXPORT, whose export is a list of
//
//	{name, path, open, send, ends}
//
// open are frames that are sent one by one, the next when something has come
// back, and not told of; send are those that the case is about, a Uint8Array is
// a binary one, "(wait)" waits for the server's next. ends are [frame, until]: each
// is sent when the server has answered the one before, which it does with a frame
// that matches until: so all has come that comes of send. A server that closes need
// not answer.
//
// COUNTS is {name: number} in JSON: before ends are sent, so many frames have to come.
//
// It prints {name: [frame, …]}, the last frame being "open", or "close CODE
// REASON". What servers choose for themselves is replaced: ids by $sid, the id
// of an ack that the server wants by $ack, also in frames sent afterwards.

import { WebSocket } from "ws";

import { patience, within } from "./peer.mjs";

class Frames {
  #received = [];
  #wake = () => {};
  #ack = "";

  constructor(address) {
    this.socket = new WebSocket(address, { handshakeTimeout: patience });
    this.socket.on("message", (data, binary) => this.#receive(binary ? `bytes ${data.toString("hex")}` : this.#plain(String(data))));
    this.socket.on("close", (code, reason) => this.#receive(`close ${code} ${reason}`.trim()));
    this.socket.on("error", () => {}); // a close follows
  }

  #plain(text) {
    const asks = /^(42(?:\/\w+,)?)(\d+)(\["question".*)$/s.exec(text);
    if (asks) {
      this.#ack = asks[2];
      text = `${asks[1]}$ack${asks[3]}`;
    }
    return text.replace(/"(sid|pid)":"[\w~-][\w-]{19}"/g, '"$1":"$$sid"').replace(/^2$/, "(ping)");
  }

  #receive(frame) {
    this.#received.push(frame);
    this.#wake();
  }

  // opened waits for the WebSocket, and for the open packet of Engine.IO.
  async opened(path) {
    if (path.startsWith("/socket.io")) {
      await this.next();
      return;
    }
    await within(new Promise((resolve) => this.socket.once("open", resolve)), "the WebSocket");
  }

  send(frame) {
    this.socket.send(typeof frame === "string" ? frame.replace("$ack", this.#ack) : frame, () => {});
  }

  async next() {
    if (this.#received.length === 0) {
      await within(new Promise((resolve) => { this.#wake = resolve; }), "a frame");
    }
    return this.#received.shift();
  }

  terminate() {
    this.socket.terminate();
  }
}

async function play({ name, path, open = [], send, ends }) {
  const socket = new Frames(url.replace("http", "ws") + path);
  try {
    await socket.opened(path);
    for (const frame of open) {
      socket.send(frame);
      await socket.next();
    }
    const told = [];
    for (const frame of send) {
      if (frame === "(wait)") {
        told.push(await socket.next());
      } else {
        socket.send(frame);
      }
    }
    while (told.length < (counts[name] ?? 0)) {
      told.push(await socket.next());
    }
    for (const [end, until] of ends) {
      socket.send(end);
      for (;;) {
        const frame = await socket.next();
        if (frame.startsWith("close")) {
          return [...told, frame];
        }
        if (until.test(frame)) {
          break;
        }
        told.push(frame);
      }
    }
    return [...told, "open"];
  } finally {
    socket.terminate();
  }
}

const [list, url, expected = "{}"] = process.argv.slice(2);
const counts = JSON.parse(expected);
const [module, exported = "default"] = list.split(":");
const { [exported]: cases } = await import(`./${module}.mjs`);
const results = {};
for (const test of cases) {
  if (test.name in results) {
    throw new Error(`two cases are named ${test.name}`);
  }
  results[test.name] = await play(test).catch((err) => {
    throw new Error(`${test.name}: ${err.message}`);
  });
}
process.stdout.write(JSON.stringify(results), () => process.exit());
