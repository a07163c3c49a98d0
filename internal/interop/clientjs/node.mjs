// Plays all rows with the npm package ws: node node.mjs HOST LINE
// It prints the results as JSON, and ends when no client has left anything behind.

import { createRequire } from "node:module";

import * as lib from "../../../clientjs/wsrouter.js";
import { play } from "./play.mjs";
import { rows } from "./rows.mjs";

const { WebSocket } = createRequire(new URL("../node/package.json", import.meta.url))("ws");
const [host, line] = process.argv.slice(2);
const unhandled = () => new Promise((resolve) => process.once("unhandledRejection", resolve));

console.log(JSON.stringify(await play(rows, { lib, WebSocket, host, line, unhandled })));
