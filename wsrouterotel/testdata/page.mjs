// A page that orders, is cut off, and orders again while it is away: node page.mjs URL.
// It prints what it began, and what came of it.

import { randomBytes } from "node:crypto";
import WebSocket from "../../internal/interop/node/node_modules/ws/wrapper.mjs";
import { connect } from "../../clientjs/wsrouter.js";

const begin = () => ({ trace: randomBytes(16).toString("hex"), span: randomBytes(8).toString("hex") });
let active; // as a tracer of the page would have it
const meta = () => active && { traceparent: `00-${active.trace}-${active.span}-01` };

const client = connect(process.argv[2], { WebSocket, resume: true, reconnect: { min: 10 }, meta });
await client.ready();
const told = [];

active = begin();
told.push({ ...active, answer: await client.call("order", "chair") });

active = undefined;
client.emit("cut");
while (!client.away) await new Promise((resolve) => setTimeout(resolve, 1));

active = begin();
told.push({ ...active, answer: await client.call("order", "table") });

console.log(JSON.stringify({ told, recovered: client.recovered }));
client.close();
