// Every use of the client that a program may make. It is compiled, not run.

import { type Client, ClosedError, connect, type Connection, type State, WsError } from "../../../clientjs/wsrouter.js";

const client: Client = connect("/ws");
connect(new URL("wss://example.com/ws"), { reconnect: false, pingInterval: 10_000, pongTimeout: Infinity });
connect("/ws", { auth: { token: "t" }, reconnect: { max: 10_000 }, WebSocket });
connect("/ws", { resume: true, pongTimeout: 5_000 });
connect("/ws", { resume: { maxBytes: 64 << 10 } });
connect("/ws", { auth: async () => ({ token: await Promise.resolve("t") }) });
connect("/ws", { meta: () => ({ traceparent: "00-1-2-01" }) });
connect("/ws", { meta: (event) => (event === "quiet" ? undefined : { tenant: "t" }) });
// @ts-expect-error: strings only
connect("/ws", { meta: { n: 1 } });
// @ts-expect-error: the wait is an object
connect("/ws", { reconnect: 500 });

client.onstate = (state: State, why) => console.log(state === "waiting" && why?.code, why?.reason);
client.onstate = null;
const words: string = client.away ? "away" : client.recovered ? "back" : "here";
console.log(words);
// @ts-expect-error: it is the client's
client.away = false;
// @ts-expect-error: the state is the client's
client.state = "open";

interface Sum { total: number }

async function use(abort: AbortController): Promise<number> {
  await client.ready();
  client.emit("hello");
  client.emit("hello", { any: ["json"] });
  client.emit("hello", undefined, { meta: { tenant: "t" } });
  const sum = await client.call<Sum>("sum", [1, 2], { signal: abort.signal, timeout: 1_000, meta: (event) => ({ event }) });
  // @ts-expect-error: no such field
  sum.missing;
  for await (const n of client.pull<number>("count", { to: 5 }, { signal: abort.signal, window: 4, meta: { a: "b" } })) sum.total += n;
  // @ts-expect-error: a window is for pull
  await client.call("sum", [], { window: 4 });
  return sum.total;
}

const off: () => void = client.on<string>("news", (text, { meta }) => console.log(text.length, meta.traceparent));
off();
client.on("confirm", async (question, { signal }) => {
  signal?.throwIfAborted();
  if (question === "") throw new WsError("ask me something", { code: "empty", data: { of: "question" } });
  return true;
});

const stop: () => void = client.onOpen(async ({ signal }: Connection) => {
  for await (const n of client.pull<number>("count", new Uint8Array([1]), { signal })) console.log(n);
});
stop();
client.onOpen(() => client.emit("watch", ["news"]));
// @ts-expect-error: a function, not an event
client.onOpen("news");
client.reconnect();

use(new AbortController()).catch((err: unknown) => {
  if (err instanceof WsError) console.log(err.message, err.status, err.code, err.data);
  if (err instanceof ClosedError) console.log(err.code, err.reason, err.cause);
});
client.close();
client.close(4000, "enough");
