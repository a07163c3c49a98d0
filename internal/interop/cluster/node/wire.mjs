// What a script says to the test that runs it, and is told by it: lines of JSON,
// in which what JSON has not is {"$bytes": base64}, {"$date": ISO} or
// {"$undefined": true}.

import { createInterface } from "node:readline";

export function encode(value) {
  if (value === undefined) {
    return { $undefined: true };
  }
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    const bytes = ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value);
    return { $bytes: bytes.toString("base64") };
  }
  if (value instanceof Date) {
    return { $date: value.toISOString() };
  }
  if (Array.isArray(value)) {
    return value.map(encode);
  }
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, encode(v)]));
  }
  return value;
}

export function decode(value) {
  if (Array.isArray(value)) {
    return value.map(decode);
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  if ("$bytes" in value) {
    return Buffer.from(value.$bytes, "base64");
  }
  if ("$date" in value) {
    return new Date(value.$date);
  }
  if ("$undefined" in value) {
    return undefined;
  }
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, decode(v)]));
}

export function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

// obey runs commands {id, do, …} one after another as they come, each without
// waiting for the one before, and says {id, value} or {id, error, value}. Where
// standard input ends nobody is left to command, and the process ends.
export function obey(commands) {
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const { id, do: name, ...rest } = JSON.parse(line);
    try {
      say({ id, value: encode(await commands[name](decode(rest))) });
    } catch (err) {
      say({ id, error: String(err.message), value: encode(err.responses) });
    }
  }).on("close", () => process.exit(0));
}
