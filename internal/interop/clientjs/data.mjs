// Rows of what data may be: what JSON has, bytes at any depth, and nothing that would
// be lost on the way.

import { equal, fails, throws } from "./play.mjs";

const buffer = new Uint8Array([0, 1, 2, 250, 251, 252, 253, 254, 255]).buffer;

// Bytes with a toJSON, as Node's Buffer and its copies for browsers.
class Buffered extends Uint8Array {
  toJSON() {
    return { type: "Buffer", data: [...this] };
  }
}

const bytes = [
  [new Uint8Array(buffer), "AAEC+vv8/f7/"],
  [new Uint8Array(buffer, 3, 5), "+vv8/f4="],
  [new Uint8ClampedArray([1]), "AQ=="],
  [new Int8Array(0), ""],
  [new Uint16Array([0x0101, 0x0202]), "AQECAg=="],
  [new Float64Array(1), "AAAAAAAAAAA="],
  [new BigInt64Array(1), "AAAAAAAAAAA="],
  [new DataView(buffer, 1, 3), "AQL6"],
  [buffer, "AAEC+vv8/f7/"],
  [new Buffered([104, 105]), "aGk="],
  [{ toJSON: () => new Uint8Array([104, 105]) }, "aGk="],
];

class Point {
  #hidden = 1;
  x = 1;
  get y() {
    return this.#hidden;
  }
}

const asEver = [
  [{ a: undefined, b: null, c: NaN, d: -0 }, { b: null, c: null, d: 0 }],
  [[undefined, , Infinity], [null, null, null]],
  [new Date(0), "1970-01-01T00:00:00.000Z"],
  [{ big: { toJSON: (key) => `${key}: 2^64` } }, { big: "big: 2^64" }],
  [[new Point(), Object(1), Object("s"), Object(true), Object.create(null)], [{ x: 1 }, 1, "s", true, {}]],
  [{ __proto__: null, ["__proto__"]: 1, "": { "": 2 } }, JSON.parse('{"__proto__":1,"":{"":2}}')],
  [new URL("http://example.com/"), "http://example.com/"],
];

const twice = { a: 1 };
const loop = { list: [0, { é: null }] };
loop.list[1].é = loop.list;

const refused = [
  [new Map(), "data", "of class Map"],
  [{ files: [1, "b", new Blob(["c"])] }, "data.files[2]", "of class Blob"],
  [[new Set([1])], "data[0]", "of class Set"],
  [{ a: { "b c": new FormData() } }, 'data.a["b c"]', "of class FormData"],
  [{ $: new Error("lost") }, "data.$", "of class Error"],
  [{ 7: /x/ }, "data[7]", "of class RegExp"],
  [{ later: Promise.resolve() }, "data.later", "of class Promise"],
  [(function* () {})(), "data", "of class Generator"],
  [new Map().keys(), "data", "of class Map Iterator"],
  [{ toJSON: () => ({ in: new WeakMap() }) }, "data.in", "of class WeakMap"],
  [() => 1, "data", "a function"],
  [[{ on() {} }], "data[0].on", "a function"],
  [{ s: Symbol("s") }, "data.s", "a symbol"],
  [{ n: [1n] }, "data.n[0]", "a bigint"],
  [Object(1n), "data", "of class BigInt"],
  [loop, "data.list[1].é", "a part of itself"],
];

export const data = [
  ["data", "bytes are base64 at any depth", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    for (const [value, text] of bytes) {
      equal(await client.call("custom", value), text);
      equal(await client.call("custom", { a: [{ b: value }, value] }), { a: [{ b: text }, text] });
    }
    client.emit("id", { id: new Uint8Array([1, 2, 3]) });
    equal(sent.at(-1), '{"event":"id","data":{"id":"AQID"}}');
    const many = new Uint8Array(100_001).map((_, i) => i * 7);
    const back = atob(await client.call("custom", many));
    equal([back.length, [...back].every((c, i) => c.charCodeAt(0) === many[i])], [many.length, true]);
  }],
  ["data", "is otherwise what JSON makes of it", async (stage) => {
    const { client } = await stage.open("/ws");
    for (const [value, want] of [...asEver, [[twice, { twice }, twice], [twice, { twice }, twice]]]) {
      equal(await client.call("custom", value), want);
    }
  }],
  ["data", "that would be lost is refused, and its place is named", async (stage) => {
    const { client, sent } = await stage.open("/ws");
    for (const [value, place, why] of refused) {
      const want = { name: "TypeError", message: `${place} cannot be sent: it is ${why}` };
      await throws(() => client.emit("custom", value), want);
      await fails(client.call("custom", value), want);
      await fails(client.pull("custom", value).next(), want);
    }
    const gone = new Uint8Array([1, 2]);
    const view = new DataView(gone.buffer);
    structuredClone(gone, { transfer: [gone.buffer] });
    for (const value of [gone, view, gone.buffer]) {
      await throws(() => client.emit("custom", [value]), { name: "TypeError", message: "data[0] cannot be sent: its bytes were transferred" });
    }
    const ouch = new Error("ouch");
    await throws(() => client.emit("custom", { toJSON() { throw ouch; } }), ouch);
    equal(sent, []);
    equal(await client.call("custom", 1), 1);
  }],
  ["data", "of answers and of auth", async (stage, lib = stage.env.lib) => {
    const peer = await stage.open("/auth", { auth: { key: new Uint8Array([1, 2, 3]) } });
    equal(await peer.client.call("auth"), { key: "AQID" });
    const unencodable = stage.connect("/auth", { auth: () => ({ scopes: new Set() }), reconnect: false });
    const { cause } = await unencodable.is("connecting", "closed");
    equal([cause.name, cause.message], ["TypeError", "auth.scopes cannot be sent: it is of class Set"]);

    const { client } = await stage.open("/ws");
    const written = [];
    const { error } = console;
    console.error = (err) => written.push(err.message);
    const off = client.on("question", () => new Uint8Array([1, 2, 3]));
    try {
      equal(await client.call("ask", "q"), "AQID");
      off();
      client.on("question", (q) => {
        if (q === "throw") throw new lib.WsError("m", { data: new Map() });
        return { all: new Map() };
      });
      for (const q of ["q", "throw"]) await fails(client.call("ask", q), { message: "Internal client error" });
    } finally {
      console.error = error;
    }
    equal(written, ["data.all cannot be sent: it is of class Map", "data.data cannot be sent: it is of class Map"]);
  }],
];

// pageData are rows that only a page has.
export const pageData = [
  ["data", "of another window", async (stage) => {
    const { client } = await stage.open("/ws");
    const frame = document.body.appendChild(document.createElement("iframe"));
    const other = frame.contentWindow;
    equal(await client.call("custom", [new other.Uint8Array([1, 2, 3]), new other.ArrayBuffer(3), new other.Array(1, 2)]), ["AQID", "AAAA", [1, 2]]);
    for (const name of ["Map", "Blob", "Error", "FormData"]) {
      await throws(() => client.emit("custom", [new other[name]()]), { message: `data[0] cannot be sent: it is of class ${name}` });
    }
    frame.remove();
  }],
  ["data", "of what a page has", async (stage) => {
    const { client } = await stage.open("/ws");
    equal((await client.call("custom", new DOMRect(1, 2, 3, 4))).width, 3);
    for (const [value, name] of [[document.createElement("p"), "HTMLParagraphElement"], [new File([], "f"), "File"], [new Headers(), "Headers"]]) {
      await throws(() => client.emit("custom", { value }), { name: "TypeError", message: `data.value cannot be sent: it is of class ${name}` });
    }
  }],
];
