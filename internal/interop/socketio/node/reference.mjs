// Node's own server with the events of odd_test.go: node reference.mjs
// It prints its address and runs until it is ended.

import { createServer } from "node:http";

import { Server } from "socket.io";

const server = createServer();
const io = new Server(server);
for (const namespace of ["/", "/other"]) {
  io.of(namespace).on("connection", (socket) => {
    socket.on("error", () => {}); // of odd input
    for (const event of ["events", "echo", 1, "message", "connection"]) {
      socket.on(event, (data, ack) => (typeof ack === "function" ? ack(data) : socket.emit(String(event), data)));
    }
    socket.on("args", (...args) => {
      const ack = typeof args.at(-1) === "function" && args.pop();
      return ack ? ack(args) : socket.emit("args", args);
    });
    socket.on("deep", () => socket.emit("deep", "seen"));
    socket.on("ask", (question) => socket.emit("question", question, (...answer) => {
      socket.emit("answer", answer.length > 1 ? answer : answer[0]);
    }));
  });
}
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify(`http://127.0.0.1:${server.address().port}`)));
