import { calls } from "./calls.mjs";
import { connections, pageConnections } from "./connections.mjs";
import { data, pageData } from "./data.mjs";
import { frames } from "./frames.mjs";
import { listeners } from "./listeners.mjs";
import { openings, pageOpenings } from "./openings.mjs";
import { recovery } from "./recovery.mjs";
import { table } from "./table.mjs";

// rows are for every runtime, pageRows for a page only.
export const rows = [...table, ...calls, ...listeners, ...connections, ...openings, ...frames, ...data, ...recovery];
export const pageRows = [...pageConnections, ...pageOpenings, ...pageData];
