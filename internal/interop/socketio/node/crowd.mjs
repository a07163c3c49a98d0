// Rows against the gateway that need more clients, or other ones.

import { WebSocket } from "ws";

import { equal, within } from "./peer.mjs";

export const crowd = [
  ["cast", "reaches 200 clients that came at once", async (stage) => {
    const peers = await Promise.all(Array.from({ length: 200 }, () => stage.connect()));
    equal(new Set(peers.map((peer) => peer.socket.id)).size, 200);
    if (stage.transports === undefined) {
      await Promise.all(peers.map((peer) => peer.upgraded()));
    }
    equal(await Promise.all(peers.map((peer, i) => peer.ask("events", `n${i}`))), peers.map((_, i) => `n${i}`));
    await peers[0].ask("cast", "all");
    await Promise.all(peers.map((peer) => peer.expect(["cast", "all"])));
    await Promise.all(peers.map((peer) => peer.expectNothing()));
  }],
  ["say", "joins a plain WebSocket client and a Socket.IO one", async (stage) => {
    const plain = await connectPlain(stage);
    const peer = await stage.connect();
    equal(await peer.ask("join", "mixed"), ["mixed"]);
    plain.send('{"event":"join","data":"mixed","id":1}');
    equal(await plain.next(), '{"event":"join","data":["mixed"],"re":1}');
    plain.send('{"event":"say","data":{"room":"mixed","text":"<&> é 😀"}}');
    await peer.expect(["said", "<&> é 😀"]);
    peer.emit("say", { room: "mixed", text: "back" });
    equal(await plain.next(), '{"event":"said","data":"back"}');
    peer.emit("cast", { n: 1 });
    await peer.expect(["cast", { n: 1 }]);
    equal(await plain.next(), '{"event":"cast","data":{"n":1}}');
    plain.send('{"event":"cast","data":[1]}');
    await peer.expect(["cast", [1]]);
    equal(await plain.next(), '{"event":"cast","data":[1]}');
    await peer.expectNothing();
    plain.close();
  }],
];

async function connectPlain({ url, namespace }) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws${namespace === "/" ? "" : namespace}`);
  const received = [];
  let wake = () => {};
  socket.on("message", (data) => {
    received.push(String(data));
    wake();
  });
  await within(new Promise((resolve) => socket.on("open", resolve)), "the plain client's open");
  return {
    send: (text) => socket.send(text),
    close: () => socket.close(),
    async next() {
      if (received.length === 0) {
        await within(new Promise((resolve) => { wake = resolve; }), "the plain client's frame");
      }
      return received.shift();
    },
  };
}
