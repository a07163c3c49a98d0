// socket.io as it comes.

import { createServer } from "node:http";

import { Server } from "socket.io";

import { announce, maxMessage } from "./control.mjs";

const http = createServer();
const io = new Server(http, { maxHttpBufferSize: maxMessage });

io.on("connection", (socket) => {
  socket.on("echo", (data) => socket.emit("echo", String(data)));
  socket.on("broadcast", (data) => io.emit("news", String(data)));
});
http.listen(0, "127.0.0.1", () => announce(http.address()));
