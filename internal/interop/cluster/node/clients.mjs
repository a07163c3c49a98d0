// Clients from npm: node clients.mjs
// Says {client, event, args} for each event that a client receives, and obeys
// connect, ask and leave. A client answers "question" with what it was asked, but
// for one that is mute.

import { io } from "socket.io-client";

import { encode, obey, say } from "./wire.mjs";

const clients = new Map();

obey({
  connect({ client, url, mute }) {
    const socket = io(url, { forceNew: true, transports: ["websocket"], reconnectionDelay: 20, reconnectionDelayMax: 100 });
    clients.set(client, socket);
    const tell = (event, ...args) => say({ client, event, args: encode(args) });
    socket.onAny((event, ...args) => {
      if (typeof args.at(-1) !== "function") {
        tell(event, ...args);
      } else if (!mute) {
        args.pop()(...args);
      }
    });
    socket.on("connect", () => tell("(connect)", socket.id));
    socket.on("disconnect", (reason) => tell("(disconnect)", reason));
  },

  ask({ client, event, data }) {
    return clients.get(client).timeout(60_000).emitWithAck(event, data);
  },

  leave({ client }) {
    clients.get(client).disconnect();
    clients.delete(client);
  },
});
