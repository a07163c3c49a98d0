import { IoAdapter } from "@nestjs/platform-socket.io";

import { maxMessage } from "./control.mjs";
import { run } from "./nest.mjs";

await run(IoAdapter, { maxHttpBufferSize: maxMessage }, (server, data) => {
  server.emit("news", data);
});
