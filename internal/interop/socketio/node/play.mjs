// Plays rows with an unmodified client from npm:
//
//	node play.mjs ROWS CLIENT TRANSPORT URL NAMESPACE
//
// ROWS is a module and its export of that name, as table, or of another, as
// recover/better; CLIENT a package; TRANSPORT polling, websocket, or default. It
// prints the results as JSON.

import { play } from "./peer.mjs";

const [rows, client, transport, url, namespace] = process.argv.slice(2);
const { io } = await import(client);
const [file, name = file] = rows.split("/");
const { [name]: list } = await import(`./${file}.mjs`);
const transports = transport === "default" ? undefined : [transport];
const results = await play(list, { io, url, namespace, transports });
process.stdout.write(JSON.stringify(results), () => process.exit());
