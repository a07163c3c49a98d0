// The loop one would write on Bun, whose WebSocket is uWebSockets.

import { announce, maxMessage } from "./control.mjs";

const handlers = {
  echo(client, data) {
    client.send(JSON.stringify({ event: "echo", data: String(data) }));
  },
  broadcast(_, data) {
    server.publish("everybody", JSON.stringify({ event: "news", data: String(data) }));
  },
};

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response("want a WebSocket", { status: 426 });
  },
  websocket: {
    maxPayloadLength: maxMessage,
    open(client) {
      client.subscribe("everybody");
    },
    message(client, frame) {
      const { event, data } = JSON.parse(frame);
      handlers[event](client, data);
    },
  },
});
announce(server);
