// socket.io on Bun, with the engine that its authors made for that.

import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";

import { announce, maxMessage } from "./control.mjs";

const io = new Server();
const engine = new Engine({ path: "/socket.io/", maxHttpBufferSize: maxMessage });
io.bind(engine);

io.on("connection", (socket) => {
  socket.on("echo", (data) => socket.emit("echo", String(data)));
  socket.on("broadcast", (data) => io.emit("news", String(data)));
});
announce(Bun.serve({ ...engine.handler(), hostname: "127.0.0.1", port: 0 }));
