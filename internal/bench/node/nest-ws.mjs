import { WsAdapter } from "@nestjs/platform-ws";

import { maxMessage } from "./control.mjs";
import { run } from "./nest.mjs";

await run(WsAdapter, { path: "/ws", maxPayload: maxMessage }, (server, data) => {
  const frame = JSON.stringify({ event: "news", data });
  for (const client of server.clients) {
    if (client.readyState === client.OPEN) {
      client.send(frame);
    }
  }
});
