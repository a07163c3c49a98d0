// Tells where a server listens, and obeys the lines of standard input until it
// ends: "gc" collects garbage. Each is answered by "ok".

import { createInterface } from "node:readline";

export const maxMessage = 4 << 20; // lets messages of a megabyte in

// collect gives back what is not needed, as far as the runtime lets a script.
function collect() {
  if (globalThis.Bun) {
    Bun.gc(true);
    Bun.shrink();
  } else {
    global.gc();
  }
}

export function announce({ port }) {
  console.log(`port ${port}`);
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    if (line !== "gc") {
      throw new Error(`no command ${line}`);
    }
    collect();
    collect();
    console.log("ok");
  });
  lines.on("close", () => process.exit());
}
