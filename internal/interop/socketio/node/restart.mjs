// A client lives through the death of its server: node restart.mjs CLIENT TRANSPORT URL
// It prints "up" when it is connected and the server may be killed, "down" when
// it has seen that, and then, if the server has come back, its result.

import { Peer, equal } from "./peer.mjs";

const [client, transport, url] = process.argv.slice(2);
const { io } = await import(client);
const transports = transport === "default" ? undefined : [transport];
const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

let error = "";
try {
  const peer = new Peer(io(url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 100 }));
  await peer.expect(["(connect)"]);
  if (transport === "default") {
    await peer.upgraded();
  }
  const { id } = peer.socket;
  equal(await peer.ask("join", "r"), ["r"]);
  tell("up");
  const [event, reason] = await peer.next();
  equal([event, ["transport close", "transport error"].includes(reason)], ["(disconnect)", true], reason);
  peer.emit("events", "while it was away");
  tell("down");
  for (let [next] = await peer.next(); next !== "(connect)"; [next] = await peer.next()) {
    equal(next, "(connect_error)");
  }
  await peer.expect(["events", "while it was away"]);
  equal(peer.socket.id === id, false, "it is a new connection");
  equal(await peer.ask("join", "s"), ["s"], "in no room from before");
  await peer.expectNothing();
  peer.socket.disconnect();
  await peer.closed();
} catch (err) {
  error = err.message;
}
tell([{ event: "restart", title: `${client} ${transport}`, error }]);
process.stdin.once("end", () => process.exit()).resume();
