// Plays a transcript against a gateway. A step names its client, which connects
// at its first step:
//
//	a> TEXT     a sends a text frame
//	a>> TEXT    a sends a binary frame
//	a< TEXT     the next thing that a receives, see Client
//	a<* TEXT    any number of such things, also none
//	a: ?QUERY   a connects with a query, and its steps say what comes of it
//
// After the last step each client that is still connected must get the answer
// to a question of its own next: so nothing else had come, and it is alive.

import { Client } from "./client.mjs";

// What may stand in a received TEXT for a value that the server chooses. $id is
// remembered: in the row's later steps it stands for the same value.
const shapes = {
  n: "[1-9][0-9]*",
  id: '(?<id>[0-9]+|"[^"]{1,64}")',
  conn: "[A-Za-z0-9_~-][A-Za-z0-9_-]{19}",
  text: "[^\"]+",
};

// play runs rows one after another, up to the first that fails, and returns
// [{event, title, error}], where error is "" for a row that passed. Options:
// WebSocket, the constructor to use; url of the namespace; extensions, what the
// server has to agree to; statuses, whether that WebSocket tells the HTTP status of
// a refusal.
export async function play(rows, options) {
  const results = [];
  for (const [event, title, ...steps] of rows) {
    const row = new Row(options);
    try {
      await row.play(steps);
      results.push({ event, title, error: "" });
    } catch (err) {
      results.push({ event, title, error: err.message });
      break;
    } finally {
      row.closeAll();
    }
  }
  return results;
}

class Row {
  #options;
  #clients = new Map();
  #id = "$id";

  constructor(options) {
    this.#options = options;
  }

  async play(steps) {
    for (const step of steps) {
      await this.#step(step);
    }
    for (const [name, client] of this.#clients) {
      if (!client.ended) {
        await this.#step(`${name}> {"event":"whoami","id":"the end"}`);
        await this.#step(`${name}< {"event":"whoami","data":"$conn","re":"the end"}`);
      }
    }
    for (const [name, client] of this.#clients) {
      if (!client.ended) {
        client.close();
        await this.#step(`${name}< close 1000`);
      }
    }
  }

  closeAll() {
    for (const client of this.#clients.values()) {
      client.close();
    }
  }

  async #step(step) {
    const [, name, action, text] = /^([a-z])(:|>>?|<\*?) ?(.*)$/.exec(step);
    if (action === ":") {
      this.#connect(name, text);
      return;
    }
    if (!this.#clients.has(name)) {
      this.#connect(name, "");
      await this.#step(`${name}< open`);
    }
    const client = this.#clients.get(name);
    switch (action) {
      case ">":
        return client.send(text.replace("$id", this.#id));
      case ">>":
        return client.send(new TextEncoder().encode(text));
      case "<":
        return this.#receive(client, step, text);
      case "<*":
        return this.#receiveAll(client, text);
    }
  }

  #connect(name, query) {
    const { WebSocket, url, extensions } = this.#options;
    this.#clients.set(name, new Client(WebSocket, url + query, extensions));
  }

  async #receive(client, step, text) {
    const got = await client.peek().catch((err) => {
      throw new Error(`want ${step}\n${err.message}`);
    });
    if (!this.#matches(text, got)) {
      throw new Error(`want ${step}\ngot     ${got}`);
    }
    client.take();
  }

  async #receiveAll(client, text) {
    while (this.#matches(text, await client.peek())) {
      client.take();
    }
  }

  #matches(text, got) {
    if (!this.#options.statuses) {
      text = text.replace(/^refused .*/, "refused");
    }
    const pattern = text
      .replace("$id", this.#id)
      .replace(/[.*+?^{}()|[\]\\]/g, "\\$&")
      .replace(/\$(\w+)/g, (_, shape) => shapes[shape]);
    const match = new RegExp(`^${pattern}$`, "s").exec(got);
    this.#id = match?.groups?.id ?? this.#id;
    return match !== null;
  }
}
