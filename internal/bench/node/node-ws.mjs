// The loop one would write on ws.

import { WebSocket, WebSocketServer } from "ws";

import { announce, maxMessage } from "./control.mjs";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, path: "/ws", maxPayload: maxMessage });

const handlers = {
  echo(client, data) {
    client.send(JSON.stringify({ event: "echo", data: String(data) }));
  },
  broadcast(client, data) {
    const frame = JSON.stringify({ event: "news", data: String(data) });
    for (const other of server.clients) {
      if (other.readyState === WebSocket.OPEN) {
        other.send(frame);
      }
    }
  },
};

server.on("connection", (client) => {
  client.on("error", () => {}); // the load cuts its connections
  client.on("message", (frame) => {
    const { event, data } = JSON.parse(frame);
    handlers[event](client, data);
  });
});
server.on("listening", () => announce(server.address()));
