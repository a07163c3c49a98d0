// Node's own server with connection state recovery: node recoverer.mjs
// It prints its address and runs until it is ended.

import { createServer } from "node:http";

import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { connectionStateRecovery: {} });
for (const name of ["/", "/other"]) {
  const namespace = io.of(name);
  const held = [];
  namespace.on("connection", (socket) => {
    socket.on("events", (data, ack) => ack(data));
    socket.on("cast", (...args) => {
      const ack = args.pop();
      namespace.emit("news", ...args);
      ack();
    });
    socket.on("volatile cast", (...args) => {
      const ack = args.pop();
      namespace.volatile.emit("news", ...args);
      ack();
    });
    socket.on("hold", (ack) => held.push(ack));
    socket.on("release", (ack) => {
      held.splice(0).forEach((late) => late("late"));
      ack();
    });
    socket.on("ask", async (id, event, ms, ack) => {
      const other = namespace.sockets.get(id);
      try {
        ack(await other.timeout(ms).emitWithAck(event));
      } catch {
        ack(null); // it is not there, or has not answered
      }
    });
  });
}
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify(`http://127.0.0.1:${server.address().port}`)));
