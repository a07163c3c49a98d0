// Odd input for a Socket.IO server, for frames.mjs.

const path = "/socket.io/?EIO=4&transport=websocket";
const wait = "(wait)";

// The last events come twice: what Node's server does later has come by then.
const last = ['42999["events","end"]', /^43999\["end"\]$/];
const ends = [last, last];

// A client of "/", and what becomes of it.
const joined = (name, ...send) => ({ name, path, open: ["40"], send, ends });

// A client of no namespace yet, which joins "/" at last.
const fresh = (name, ...send) => ({ name, path, send, ends: [["40", /^40{/], ...ends] });

// Where two namespaces are in it each answer is waited for: there is no order
// between them.

// Leaves "/" and waits until the server has seen it: Node's looks for the
// namespace of a packet before it has handled the packets that came with it.
const left = ["40/other,", wait, "41", '42/other,1["events",0]', wait];

const attachments = (n) => Array.from({ length: n }, (_, num) => ({ _placeholder: true, num }));
const binary = (n) => [`45${n}-["echo",${JSON.stringify(attachments(n))}]`, ...Array.from({ length: n }, (_, i) => Uint8Array.of(i))];

export default [
  // The handshake of Socket.IO.
  fresh("connect without a comma", "40/other", wait),
  fresh("connect with auth", '40/other,{"token":"t"}', wait),
  joined("connect twice", "40"),
  joined("connect twice, to another namespace", "40/other", wait, "40/other,"),
  joined("connect again after a disconnect", ...left, "40", wait),
  fresh("connect to nowhere", "40/nowhere,", wait),
  fresh("connect to nowhere, with a query", "40/other?x=1,", wait),
  fresh("connect with an array", "40[]"),
  fresh("connect with a string", '40"s"'),
  fresh("connect with null", "40null"),
  { name: "connect with an ack's id", path, send: ["401", wait], ends },
  fresh("connect with half an object", '40{"a":'),
  fresh("an event before connect", '42["events","x"]'),
  fresh("an ack before connect", "430[]"),
  fresh("a disconnect before connect", "41"),
  fresh("a binary event before connect", ...binary(1)),
  joined("an event for a namespace not joined", '42/other,["events","x"]'),
  joined("an ack for a namespace not joined", "43/other,0[]"),
  joined("a disconnect for a namespace not joined", "41/other,"),
  joined("an event for a namespace that is not there", '42/nowhere,["events","x"]'),
  joined("an event after a disconnect", ...left, '42["events","x"]'),
  joined("connect error from the client", '44{"message":"x"}'),
  joined("disconnect with data", "41{}"),
  joined("disconnect with an array", "41[]"),

  joined("a message that is too big", `42["events","${"x".repeat(1_000_000)}"]`),

  // Events.
  joined("an event", '42["events","x"]'),
  joined("an event without arguments", '42["events"]'),
  joined("several arguments", '42["args",1,"two",{"three":3}]'),
  joined("several arguments and an ack", '427["args",1,"two",{"three":3}]'),
  joined("an event with a numeric name", '42[1,2]'),
  joined("an event with a numeric name and an ack", '427[1,2]'),
  joined("an event with a string of digits as its name", '427["1",2]'),
  joined("an event with an empty name", '42["",1]'),
  joined("an unknown event", '42["nobody",1]'),
  joined("the root namespace by name", '42/,["events","x"]'),
  joined("white space in the array", '42 [ "events" , "x" ] '),
  joined("an unknown type", "4abc"),
  joined("type 7", '47["events","x"]'),
  joined("type 9", '49["events","x"]'),
  joined("an empty message", "4"),
  joined("no array", "42"),
  joined("bad JSON", '42["events",'),
  joined("bad JSON behind good", '42["events","x"]x'),
  joined("an object", "42{}"),
  joined("an object with an event", '42{"0":"events"}'),
  joined("an empty array", "42[]"),
  joined("null as the name", "42[null]"),
  joined("an object as the name", "42[{}]"),
  joined("an array as the name", '42[["events"]]'),
  joined("true as the name", "42[true]"),
  joined("letters for the ack's id", '42abc["events","x"]'),
  joined("a negative ack's id", '42-1["events","x"]'),
  joined("an ack's id with leading zeros", '42007["events","x"]'),
  joined("a large ack's id", '42123456789012["events","x"]'),
  joined("an ack's id that is used again", '425["events","x"]', wait, '425["events","y"]'),
  joined("an ack's id that is used while it is open", '425["ask","x"]', wait, '425["events","y"]'),
  ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]
    .map((name) => joined(`the reserved name ${name}`, `42["${name}",1]`)),
  ...["connection", "message", "exception", "ping", "__proto__", "constructor"]
    .map((name) => joined(`the name ${name}`, `42["${name}",1]`)),
  joined("JSON nested deep", `42["deep",${"[".repeat(5000)}${"]".repeat(5000)}]`),
  joined("numbers at their limits", '42["events",[9007199254740991,1e21,-0.5,1.5e-7]]'),
  joined("text of every kind", '42["events","<&>\\u00e9\\ud83d\\ude00\\n\\"/é😀"]'),
  joined("duplicate keys", '42["events",{"a":1,"a":2}]'),

  // Acks.
  joined("an ack of nothing", "4399[]"),
  joined("an ack without an id", "43[]"),
  joined("an ack without an array", "430"),
  joined("an ack with an object", "430{}"),
  joined("an answer", '42["ask","q"]', wait, '43$ack["a"]', wait),
  joined("an answer of nothing", '42["ask","q"]', wait, "43$ack[]", wait),
  joined("an answer of several values", '42["ask","q"]', wait, '43$ack["a",{"b":1},null]', wait),
  joined("an answer given twice", '42["ask","q"]', wait, '43$ack["a"]', wait, '43$ack["b"]'),
  joined("an answer that looks like an error", '42["ask","q"]', wait, '43$ack[{"message":"m","status":"error"}]', wait),
  joined("an answer with bytes", '42["ask","q"]', wait, '461-$ack[{"_placeholder":true,"num":0}]', Uint8Array.of(1, 2), wait),
  joined("an answer with bytes and a bad count", '42["ask","q"]', wait, '460-$ack["a"]'),

  // Attachments.
  joined("one attachment", ...binary(1)),
  joined("ten attachments", ...binary(10)),
  joined("eleven attachments", ...binary(11)),
  joined("an attachment and an ack", '451-7["echo",{"_placeholder":true,"num":0}]', Uint8Array.of(1)),
  joined("an empty attachment", '451-7["echo",{"_placeholder":true,"num":0}]', new Uint8Array()),
  joined("no attachments", '450-["echo","a"]'),
  joined("a count without a dash", '451["echo",{"_placeholder":true,"num":0}]'),
  joined("no count", '45-["echo","a"]'),
  joined("a negative count", '45-1-["echo","a"]'),
  joined("letters for a count", '45x-["echo","a"]'),
  joined("a placeholder out of range", '451-["echo",{"_placeholder":true,"num":1}]', Uint8Array.of(1)),
  joined("a negative placeholder", '451-["echo",{"_placeholder":true,"num":-1}]', Uint8Array.of(1)),
  joined("a placeholder that is no number", '451-["echo",{"_placeholder":true,"num":"0"}]', Uint8Array.of(1)),
  joined("a placeholder without a number", '451-["echo",{"_placeholder":true}]', Uint8Array.of(1)),
  joined("a placeholder that is false", '451-["echo",{"_placeholder":false,"num":0}]', Uint8Array.of(1)),
  joined("a placeholder with its keys turned around", '451-["echo",{"num":0,"_placeholder":true}]', Uint8Array.of(1)),
  joined("a placeholder with a key more", '451-["echo",{"_placeholder":true,"num":0,"x":1}]', Uint8Array.of(1)),
  joined("a placeholder as text", '451-["echo",["{\\"_placeholder\\":true,\\"num\\":0}",{"_placeholder":true,"num":0}]]', Uint8Array.of(1)),
  joined("a placeholder used twice", '451-["echo",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]]', Uint8Array.of(1)),
  joined("an attachment that is not used", '451-["echo","a"]', Uint8Array.of(1)),
  joined("a text like an attachment's base64", '451-["echo",["AQID",{"_placeholder":true,"num":0}]]', Uint8Array.of(1, 2, 3)),
  joined("a placeholder in an event without attachments", '42["echo",{"_placeholder":true,"num":0}]'),
  joined("bytes that nobody announced", Uint8Array.of(1)),
  joined("one attachment too many", ...binary(1), wait, wait, Uint8Array.of(1)),
  joined("text between attachments", '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Uint8Array.of(1), '42["events","x"]'),
  joined("a binary event of a reserved name", '451-["connect",{"_placeholder":true,"num":0}]', Uint8Array.of(1)),
  joined("a binary event that is an object", '451-{"_placeholder":true,"num":0}', Uint8Array.of(1)),
  joined("a binary event in a namespace", "40/other", wait, '451-/other,7["echo",{"_placeholder":true,"num":0}]', Uint8Array.of(1), wait, wait),

  // Engine.IO.
  ...["0", "3", "5", "6", "3probe"].map((packet) => joined(`the engine's packet ${packet}`, packet)),
  ...["1", "2", "2probe", "7", "x", "", "b", "bAQID"].map((packet) => joined(`the engine's packet "${packet}"`, packet)),
];
