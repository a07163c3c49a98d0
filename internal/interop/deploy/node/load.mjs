// Clients that mostly wait for an answer, or two: node load.mjs URL COUNT
// COUNT of each kind connect to URL. Then it prints "up" and works until a line of
// input comes; prints "back" when all have been answered once more; reads the
// number of the last news, waits for that, and prints what has become of each.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { connect, WsError } from "../../../../clientjs/wsrouter.js";

const require = createRequire(new URL("../../socketio/node/package.json", import.meta.url));
const { io } = require("socket.io-client");
const { WebSocket } = require("ws");

const [url, count] = process.argv.slice(2);
const tell = (value) => new Promise((written) => process.stdout.write(`${JSON.stringify(value)}\n`, written));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const retryPause = 100; // ms after the code "shutdown"

class Outcome {
  constructor(name) {
    Object.assign(this, { name, answered: [], unanswered: [], connects: [], closes: [], news: [], errors: [], told: 0 });
  }
  connected() {
    this.connects.push(Date.now());
    this.news.push([]);
  }
  closed() {
    this.closes.push(Date.now());
  }
  // refused takes an exception: with the code "shutdown" the client may ask again.
  refused({ code, message }) {
    if (code === "shutdown") this.told++;
    else this.errors.push(`${code}: ${message}`);
    return pause(retryPause);
  }
}

// plain is a client of our own, over the npm package ws.
function plain(name) {
  const outcome = new Outcome(name);
  const client = connect(`${url.replace("http", "ws")}/ws`, { WebSocket, resume: name.length % 2 === 0 });
  client.onstate = (state) => {
    if (state === "open") outcome.connected();
    else if (outcome.connects.length > outcome.closes.length) outcome.closed();
  };
  client.on("news", (n) => { outcome.news.at(-1).push(n); });
  const ask = async (work) => {
    try {
      return await client.call("work", work);
    } catch (err) {
      if (err instanceof WsError) await outcome.refused(err);
      return undefined;
    }
  };
  return { outcome, ask, ready: () => client.ready(), end: () => client.close() };
}

function socketio(name, transports) {
  const outcome = new Outcome(name);
  const socket = io(url, { transports, forceNew: true });
  socket.on("connect", () => outcome.connected());
  socket.on("disconnect", () => outcome.closed());
  socket.on("connect_error", (err) => socket.active || outcome.errors.push(`refused: ${err.message}`));
  socket.on("news", (n) => { outcome.news.at(-1).push(n); });
  const ask = async (work) => {
    const answer = await socket.emitWithAck("work", work).catch(() => undefined); // disconnected
    if (answer?.status === "error") await outcome.refused(answer);
    return answer;
  };
  const ready = async () => {
    while (!socket.connected) await new Promise((resolve) => socket.once("connect", resolve));
  };
  return { outcome, ask, ready, end: () => socket.disconnect() };
}

let working = true;

async function work(client, lane) {
  const { outcome } = client;
  for (let n = 0; ; n++) {
    await client.ready();
    const last = !working;
    const id = `${outcome.name}-${lane}-${n}`;
    const ms = n % 8 === 7 ? 1000 : 50 + Math.trunc(Math.random() * 400);
    const answer = await client.ask({ id, ms: last ? 0 : ms });
    (answer === id ? outcome.answered : outcome.unanswered).push(id);
    if (last && answer === id) return; // it is back
    await pause(Math.random() * 400);
  }
}

const kinds = {
  clientjs: plain,
  polling: (name) => socketio(name, ["polling"]),
  websocket: (name) => socketio(name, ["websocket"]),
  upgrading: (name) => socketio(name, undefined),
};
const clients = Object.entries(kinds).flatMap(([kind, make]) =>
  Array.from({ length: Number(count) }, (_, i) => make(`${kind}${i}`)));
await Promise.all(clients.map((client) => client.ready()));
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
tell("up");
const all = Promise.all(clients.flatMap((client) => [work(client, 0), work(client, 1)]));
await input.next();
working = false;
await all;
tell("back");
const last = Number((await input.next()).value);
const late = performance.now() + 60_000;
while (clients.some(({ outcome }) => !outcome.news.at(-1).includes(last)) && performance.now() < late) await pause(10);
await tell(clients.map((client) => client.outcome));
for (const client of clients) client.end();
process.exit();
