// A line between a client and its server that can be cut.

import { connect, createServer } from "node:net";

export class Line {
  #sockets = new Set();
  #down = false;

  static async to(url) {
    const { hostname, port } = new URL(url);
    const line = new Line();
    line.server = createServer((near) => {
      if (line.#down) {
        near.destroy();
        return;
      }
      const far = connect(Number(port), hostname);
      for (const [from, into] of [[near, far], [far, near]]) {
        line.#sockets.add(from);
        from.on("data", (data) => from.dead || into.write(data));
        from.on("error", () => {});
        from.on("close", () => {
          line.#sockets.delete(from);
          if (!from.dead) {
            into.destroy();
          }
        });
      }
    });
    await new Promise((resolve) => line.server.listen(0, "127.0.0.1", resolve));
    line.url = `http://127.0.0.1:${line.server.address().port}`;
    return line;
  }

  // cut ends all connections, and lets no others in before mend.
  cut() {
    this.#down = true;
    this.#sockets.forEach((socket) => socket.destroy());
  }

  mend() {
    this.#down = false;
  }

  // deafen lets nothing more pass over the connections that there are, not even their
  // end, as where a network has vanished.
  deafen() {
    this.#sockets.forEach((socket) => { socket.dead = true; });
  }

  close() {
    this.cut();
    this.server.close();
  }
}
