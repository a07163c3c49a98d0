// What clients of NestJS gateways send, for frames.mjs.

const path = "/socket.io/?EIO=4&transport=websocket";
const wait = "(wait)";

// The sample 02-gateways, over Socket.IO.
const lastIdentity = ['42999["identity",0]', /^43999\[0\]$/];
const sampleIO = (name, ...send) => ({ name, path, open: ["40"], send, ends: [lastIdentity, lastIdentity] });
export const sample02 = [
  sampleIO("events", '42["events",{"test":"test"}]', wait, wait, wait),
  sampleIO("identity without an ack", '42["identity",7]'),
  sampleIO("identity", '420["identity",7]', wait),
  sampleIO("events with an ack", '420["events"]', wait, wait, wait),
];

// The sample 16-gateways-ws, over plain WebSocket. Its only event is its own end.
const numbers = ['{"event":"events","data":1}', '{"event":"events","data":2}', '{"event":"events","data":3}'];
export const sample16 = [
  {
    name: "events",
    path: "/",
    send: ['{"event":"events","data":{"test":"test"}}', wait, wait, wait],
    ends: [['{"event":"events"}', new RegExp(`^${numbers[2]}$`)]],
  },
];

// The tour, over Socket.IO.
const lastEvent = ['42999["events","end"]', /^43999\["end"\]$/];
const io = (name, ...send) => ({ name, path, open: ["40"], send, ends: [lastEvent, lastEvent] });
export const tourIO = [
  io("connect again", "40"),
  io("a namespace that is not there", "40/nowhere,", wait),
  io("a value", '420["events",{"a":[1,"é",null]}]'),
  io("a value of several arguments", '420["events",1,"two"]'),
  io("a value without an ack", '42["events","x"]'),
  io("nothing", '42["events"]', wait),
  io("nothing, with an ack", '420["events"]', wait),
  io("null", '42["events",null]', wait),
  io("one property", '420["id",{"id":7}]'),
  io("an emit and a value", '420["custom",[1]]'),
  io("an emit and a value without an ack", '42["custom",[1]]'),
  io("a response", '42["response","x"]'),
  io("a response, with an ack", '420["response","x"]'),
  io("a stream", '42["numbers"]', wait, wait, wait),
  io("a stream, with an ack", '420["numbers"]', wait, wait, wait),
  io("a failure", '42["fail"]', wait),
  io("a failure, with an ack", '420["fail"]', wait),
  io("a hidden failure", '42["boom"]', wait),
  io("a hidden failure, with an ack", '420["boom"]', wait),
  io("an unknown event", '42["nobody",1]'),
  io("an unknown event, with an ack", '420["nobody",1]'),
  io("a question to the client", '420["ask","q"]', wait, '43$ack["a"]', wait),
  io("a room", '420["join","r"]'),
  io("to everyone", '42["cast",{"n":1}]', wait),
  io("to everyone, with an ack", '420["cast",{"n":1}]', wait),
];

// The tour, over plain WebSocket.
const end = '{"event":"response","data":"end"}';
const lastResponse = [end, /^{"event":"events","data":"end"}$/];
const ws = (name, ...send) => ({ name, path: "/ws", send, ends: [lastResponse, lastResponse] });
export const tourWS = [
  ws("a value", '{"event":"events","data":{"a":[1,"é",null]}}'),
  ws("a value of 0", '{"event":"events","data":0}'),
  ws("nothing", '{"event":"events"}', wait),
  ws("null", '{"event":"events","data":null}', wait),
  ws("one property", '{"event":"id","data":{"id":7}}'),
  ws("an emit and a value", '{"event":"custom","data":[1]}'),
  ws("a response", '{"event":"response","data":"x"}'),
  ws("a stream", '{"event":"numbers"}', wait, wait, wait),
  ws("a failure", '{"event":"fail"}', wait),
  ws("a hidden failure", '{"event":"boom"}', wait),
  ws("an unknown event", '{"event":"nobody","data":1}'),
  ws("keys of another case", '{"EVENT":"events","data":1}'),
  ws("unknown keys", '{"event":"events","data":1,"x":2}'),
  ws("a request", '{"event":"events","data":1,"id":7}'),
  ws("no JSON", "hi"),
  ws("an array", "[]"),
  ws("an event in a binary frame", new TextEncoder().encode('{"event":"events","data":1}')),
];
