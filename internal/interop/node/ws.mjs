// Plays the table with the npm client ws: node ws.mjs URL EXTENSIONS
// It prints the results as JSON.

import { WebSocket } from "ws";

import { table } from "./table.mjs";
import { play } from "./transcript.mjs";

const [url, extensions] = process.argv.slice(2);
const results = await play(table, { WebSocket, url, extensions, statuses: true });
console.log(JSON.stringify(results));
