// A node of a cluster: node server.mjs KIND REDIS PORT NAMESPACE...
// KIND is redis, ioredis or nest, and "emitter" for the one that only publishes.
// It says "ready" when it is subscribed and listens.

import { createServer } from "node:http";

import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { Server } from "socket.io";

import { events, requestsTimeout } from "./sockets.mjs";
import { obey, say } from "./wire.mjs";

const [kind, url, port, ...namespaces] = process.argv.slice(2);
const start = { redis: startRedis, ioredis: startIORedis, nest: startNest, emitter: startEmitter }[kind];
const node = await start({ url, port: Number(port), namespaces });
const heard = []; // of serverSideEmit

// startNest is imported where it is wanted: NestJS takes its time.
async function startNest(options) {
  return (await import("./nest.mjs")).startNest(options);
}

async function startRedis(options) {
  const pubClient = createClient({ url });
  const subClient = pubClient.duplicate();
  for (const client of [pubClient, subClient]) {
    client.on("error", () => {}); // Redis is away: without a listener that ends the process
  }
  await Promise.all([pubClient.connect(), subClient.connect()]);
  return startServer(options, pubClient, subClient, { requestsTimeout });
}

// Its nodes answer in the channel of the one who asks, those of redis in that of all.
function startIORedis(options) {
  const pubClient = new Redis(url, { retryStrategy: () => 50 });
  const subClient = pubClient.duplicate();
  for (const client of [pubClient, subClient]) {
    client.on("error", () => {});
  }
  return startServer(options, pubClient, subClient, { publishOnSpecificResponseChannel: true, requestsTimeout });
}

async function startServer({ port, namespaces }, pubClient, subClient, adapterOptions) {
  const server = createServer();
  const io = new Server(server, { adapter: createAdapter(pubClient, subClient, adapterOptions) });
  for (const namespace of namespaces) {
    io.of(namespace).on("connection", (socket) => {
      for (const [name, handle] of Object.entries(events)) {
        socket.on(name, async (data, ack) => ack(await handle(socket, data)));
      }
    });
  }
  await new Promise((resolve) => { server.listen(port, "127.0.0.1", resolve); });
  return {
    of: (namespace) => io.of(namespace),
    subClient,
    async close() {
      await io.close();
      await Promise.all([pubClient, subClient].map((client) => client.quit()));
    },
  };
}

async function startEmitter() {
  const pubClient = createClient({ url });
  await pubClient.connect();
  const emitter = new Emitter(pubClient);
  return { of: (namespace) => emitter.of(namespace), close: () => pubClient.close() };
}

// target is the namespace, or a part of it.
function target({ namespace, rooms = [], except = [], volatile }) {
  let t = node.of(namespace);
  if (rooms.length > 0) {
    t = t.to(rooms);
  }
  if (except.length > 0) {
    t = t.except(except);
  }
  return volatile ? t.volatile : t;
}

if (kind !== "emitter") {
  for (const namespace of namespaces) {
    node.of(namespace).on("hello", (...args) => {
      const answer = typeof args.at(-1) === "function" && args.pop();
      heard.push([namespace, ...args]);
      answer && answer(`${kind} ${args[0]}`);
    });
  }
  await node.subClient.subscribe(`ready ${process.pid}`, () => {}); // after all that the adapters have sent
}

obey({
  emit: (command) => { target(command).emit(command.event, ...command.args); },
  ask: (command) => target(command).timeout(command.timeout).emitWithAck(command.event, ...command.args),
  join: (command) => target(command).socketsJoin(command.to),
  leave: (command) => target(command).socketsLeave(command.to),
  disconnect: (command) => target(command).disconnectSockets(Boolean(command.close)),
  serverSideEmit: ({ namespace, args }) => { node.of(namespace).serverSideEmit("hello", ...args); },
  serverSideAsk: ({ namespace, args }) => node.of(namespace).serverSideEmitWithAck("hello", ...args),
  heard: () => heard,
  count: ({ namespace }) => node.of(namespace).adapter.serverCount(),
  async allRooms({ namespace }) {
    return [...await node.of(namespace).adapter.allRooms()];
  },
  async find(command) {
    const sockets = await target(command).fetchSockets();
    return sockets.map(({ id, rooms, data }) => ({ id, data, rooms: [...rooms].filter((room) => room !== id).sort() }));
  },
  async stop() {
    await node.close();
    setImmediate(() => process.exit(0)); // after the answer
  },
});
say("ready");
