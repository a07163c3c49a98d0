// The page: rooms, who is in them, and what is said there. client.js speaks with the
// server, log.js and side.js draw.

import { Client } from "./client.js";
import { $, paint } from "./dom.js";
import { Log, remembered } from "./log.js";
import { focusTalk, showPeople, showRooms } from "./side.js";
import { isOurs, newKey, store } from "./store.js";

const lobby = "Lobby"; // everybody is in some room, if only here
const knownRooms = [lobby, "Kitchen", "Workshop"];
const typingEvery = 3_000; // ms between two signs that we are typing
const typingLasts = 5_000; // ms for which we believe such a sign
const leaveAfter = 3_000; // ms before we say that somebody left: reloading is not leaving
const robot = "Robot";
const questions = ["What is a stream?", "How do I stop you?", "What if the network goes?", "Tell me a story"];

// Talk is a conversation: a room, or the one with the robot.
class Talk {
  last = 0; // the number of the last message we have
  early = 0; // of one that came while others were to come before it
  joined = false; // on this connection
  unread = 0;
  draft = "";
  people = new Set();
  leaving = new Map(); // timers of those who have just gone, by name
  typing = new Map(); // timers of those who type, by name
  waiting = new Map(); // messages that are not said yet, by key: text and element
  shown = new Map(); // what was said under each key that we have seen
  silence = null; // the notice that there is nothing to show

  constructor(name, isRobot = false) {
    this.name = name;
    this.isRobot = isRobot;
    this.log = new Log(name, $("newer"));
    $("logs").append(this.log.element);
  }
}

const me = { name: store.get("name", "") };
const talks = new Map(); // rooms by name
const helper = new Talk(robot, true);
let current = null;
let typedAt = 0;
let wasConnected = false;

const client = new Client(new URL("ws", location.href.replace(/^http/, "ws")), {
  auth: () => ({ name: me.name }),
  onOpen() {
    if (talks.size === 0) talks.set(lobby, new Talk(lobby));
    for (const talk of talks.values()) join(talk);
  },
  events: { people: onPeople, joined: onJoined, said: onSaid, typing: onTyping },
  onState: showState,
  onRefused: showGate,
});

// --- Rooms

// openRoom shows a room, and joins it first if need be.
function openRoom(name) {
  if (!talks.has(name)) {
    const talk = new Talk(name);
    talks.set(name, talk);
    store.set("rooms", [...talks.keys()]);
    join(talk);
  }
  show(talks.get(name));
}

function join(talk) {
  client.call("join", { room: talk.name, seq: talk.last }).catch((failure) => {
    if (failure.code === "closed") return; // onOpen tries again
    forget(talk);
    complain(failure.message);
  });
}

function forget(talk) {
  const at = [...talks.keys()].indexOf(talk.name);
  talks.delete(talk.name);
  talk.log.element.remove();
  store.set("rooms", [...talks.keys()]);
  if (current === talk) show([...talks.values()][Math.max(0, at - 1)] ?? helper);
  else drawRooms();
}

function leaveRoom(talk) {
  client.call("leave", { room: talk.name }).catch(() => {});
  forget(talk);
}

function onJoined({ room, seq, messages }) {
  const talk = talks.get(room);
  if (!talk) return;
  const came = messages ?? [];
  const first = talk.last === 0;
  talk.log.quietly(() => {
    if (!first && seq - came.length > talk.last) talk.log.notice("Some messages may be missing here");
    for (const message of came) showMessage(talk, message, !first);
    if (first && came.length === 0) talk.silence = talk.log.notice("Nobody has said anything yet");
  });
  talk.last = seq;
  talk.joined = true;
  if (talk.early > seq) join(talk);
  talk.early = 0;
  for (const [key, { text }] of talk.waiting) send(talk, key, text);
  drawTalk();
}

function onSaid(message) {
  const talk = talks.get(message.room);
  if (!talk || message.seq <= talk.last) return;
  if (!talk.joined || message.seq > talk.last + 1) { // lost between servers, or overtaken: ask once
    if (talk.joined && talk.early === 0) join(talk);
    talk.early = message.seq;
    return;
  }
  talk.last = message.seq;
  stopTyping(talk, message.name);
  showMessage(talk, message, true);
}

function showMessage(talk, message, isNew) {
  talk.waiting.get(message.key)?.element.remove();
  talk.waiting.delete(message.key);
  const what = `${message.name}\n${message.text}`;
  if (talk.shown.get(message.key) === what) return; // said again, to a server that began anew
  if (message.key) talk.shown.set(message.key, what);
  if (talk.shown.size > remembered) talk.shown.delete(talk.shown.keys().next().value);
  talk.silence?.remove();
  const mine = isOurs(message);
  talk.log.message(message, mine);
  if (isNew && !mine && (talk !== current || document.hidden)) {
    talk.unread++;
    drawRooms();
  }
}

// --- People

function onPeople({ room, names }) {
  const talk = talks.get(room);
  if (!talk) return;
  const before = talk.people;
  talk.people = new Set(names);
  if (talk.joined) {
    for (const name of talk.people) if (!before.has(name)) arrive(talk, name);
    for (const name of before) if (!talk.people.has(name)) depart(talk, name);
  }
  if (talk === current) drawTalk();
}

function arrive(talk, name) {
  if (talk.leaving.has(name)) {
    clearTimeout(talk.leaving.get(name));
    talk.leaving.delete(name);
  } else {
    talk.log.notice(`${name} is here`);
  }
}

function depart(talk, name) {
  stopTyping(talk, name);
  talk.leaving.set(name, setTimeout(() => {
    talk.leaving.delete(name);
    talk.log.notice(`${name} left`);
  }, leaveAfter));
}

function onTyping({ room, name }) {
  const talk = talks.get(room);
  if (!talk || name === me.name) return;
  clearTimeout(talk.typing.get(name));
  talk.typing.set(name, setTimeout(() => stopTyping(talk, name), typingLasts));
  showTyping();
}

function stopTyping(talk, name) {
  clearTimeout(talk.typing.get(name));
  if (talk.typing.delete(name)) showTyping();
}

// --- Talking

function say(talk, text) {
  const key = newKey();
  talk.waiting.set(key, { text, element: talk.log.wait(me.name, text) });
  talk.log.toEnd();
  if (talk.joined) send(talk, key, text);
}

function send(talk, key, text) {
  client.call("say", { room: talk.name, text, key }).catch((failure) => {
    if (failure.code === "closed") return; // onJoined sends it again
    talk.waiting.get(key)?.element.remove();
    talk.waiting.delete(key);
    if (talk === current && $("text").value === "") $("text").value = text;
    complain(failure.message);
  });
}

// ask lets the robot answer, word by word, until it ends or is stopped.
function ask(question) {
  helper.log.message({ name: me.name, text: question, time: Date.now() }, true);
  helper.log.toEnd();
  const answer = helper.log.answer(robot, () => {
    stream.cancel();
    $("text").focus();
  });
  const stream = client.pull("ask", question, answer.add);
  const end = (remark) => { $("announce").textContent = `${robot}: ${answer.end(remark)} ${remark}`; };
  stream.ended.then(() => end(""), (failure) => {
    end({ canceled: "Stopped", closed: "The connection went", shutdown: "The server went" }[failure.code] ?? failure.message);
  });
}

function submit() {
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  $("trouble").textContent = "";
  typedAt = 0;
  resize();
  if (current.isRobot) ask(text);
  else say(current, text);
}

function complain(text) {
  $("trouble").textContent = text;
}

// --- What is seen

function show(talk) {
  if (current) {
    current.draft = $("text").value;
    current.log.hide();
  }
  current = talk;
  talk.unread = 0;
  $("text").value = talk.draft;
  $("newer").hidden = true;
  $("trouble").textContent = "";
  talk.log.show();
  $("title").textContent = talk.name;
  $("text-label").textContent = talk.isRobot ? "Question to the robot" : `Message to ${talk.name}`;
  history.replaceState(null, "", talk.isRobot ? location.pathname : `#${encodeURIComponent(talk.name)}`);
  resize();
  drawRooms();
  drawTalk();
  showTyping();
}

function drawRooms() {
  const others = knownRooms.filter((name) => !talks.has(name));
  const choose = (go) => (what) => {
    go(what);
    focusTalk();
  };
  showRooms({ talks, current, helper, others }, { show: choose(show), open: choose(openRoom), leave: choose(leaveRoom) });
}

function drawTalk() {
  const names = [...current.people];
  const count = names.length === 1 ? "1 person here" : `${names.length} people here`;
  $("people-section").hidden = current.isRobot;
  $("subtitle").textContent = current.isRobot ? "Only you see this" : current.joined ? count : "\u00a0";
  $("text").placeholder = current.isRobot ? "Ask the robot…" : current.joined ? "Write a message…" : "Write now, it is sent later…";
  showPeople(current.name, names, me.name);
}

function showTyping() {
  const names = [...current.typing.keys()];
  const some = names.length > 2 ? "Several people are" : names.length === 2 ? `${names.join(" and ")} are` : `${names[0]} is`;
  $("typing").classList.toggle("on", names.length > 0);
  $("typing-text").textContent = names.length > 0 ? `${some} typing` : "";
}

function showState(state) {
  $("state").dataset.state = state;
  wasConnected ||= state === "connected";
  $("state").textContent = { connected: "Connected", connecting: wasConnected ? "Reconnecting…" : "Connecting…", offline: "Offline" }[state];
  $("retry").hidden = state === "connected";
  if (state === "connected") return;
  for (const talk of talks.values()) {
    talk.joined = false;
    for (const name of [...talk.typing.keys()]) stopTyping(talk, name);
  }
  drawTalk();
}

// resize makes the message box as high as its text.
function resize() {
  const box = $("text");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
  const left = box.maxLength - box.value.length;
  $("left").textContent = left < 200 ? ` ${left} characters left.` : "";
}

// --- Coming in

function showGate(reason = "") {
  client.close();
  $("app").hidden = true;
  $("gate").hidden = false;
  $("name").value = me.name;
  $("enter-error").textContent = reason;
  $("name").select();
}

function comeIn() {
  $("gate").hidden = true;
  $("app").hidden = false;
  $("you").textContent = me.name;
  paint($("you-avatar"), me.name);
  client.connect();
  show(current);
  focusTalk();
}

function roomOfAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)).trim();
  } catch {
    return "";
  }
}

// --- What the user does

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim().replace(/\s+/g, " ");
  $("enter-error").textContent = name ? "" : "Please type a name.";
  if (!name) return;
  me.name = name;
  store.set("name", name);
  comeIn();
});

$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("room").value.trim().replace(/\s+/g, " ");
  if (!name) return;
  $("room").value = "";
  openRoom(name);
  focusTalk();
});

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  $("text").focus();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});

$("text").addEventListener("input", () => {
  resize();
  if (current.isRobot || !current.joined || !$("text").value || Date.now() - typedAt < typingEvery) return;
  typedAt = Date.now();
  client.emit("typing", { room: current.name });
});

$("newer").addEventListener("click", () => {
  current.log.toEnd();
  $("text").focus();
});

$("skip").addEventListener("click", () => $("text").focus());
$("retry").addEventListener("click", () => client.retryNow());
$("rename").addEventListener("click", () => showGate());
addEventListener("hashchange", () => roomOfAddress() && openRoom(roomOfAddress()));
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !current?.unread) return;
  current.unread = 0;
  drawRooms();
});

// The keyboard of an iPhone covers the page without telling it of less height.
visualViewport?.addEventListener("resize", () => {
  if (visualViewport.scale > 1.01) return; // the user has zoomed in
  document.documentElement.style.setProperty("--height", `${visualViewport.height}px`);
  scrollTo(0, 0);
});

// --- Start

for (const name of store.get("rooms", [lobby])) talks.set(name, new Talk(name));
if (roomOfAddress() && !talks.has(roomOfAddress())) talks.set(roomOfAddress(), new Talk(roomOfAddress()));
if (talks.size === 0) talks.set(lobby, new Talk(lobby));
current = talks.get(roomOfAddress()) ?? talks.values().next().value;
helper.log.notice("The robot answers you alone, word by word, and can be stopped");
helper.log.suggest(questions, ask);
if (me.name) comeIn();
else showGate();
