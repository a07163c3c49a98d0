// The page: rooms, who is in them, and what is said there. client.js speaks with the
// server, log.js and side.js draw.

import { Client } from "./client.js";
import { $, paint } from "./dom.js";
import { Log, remembered } from "./log.js";
import { focusTalk, showPeople, showRooms } from "./side.js";
import { isOurs, newKey, ownTag, store } from "./store.js";

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
  people = new Map(); // who is here, by id
  leaving = new Map(); // timers of those who have just gone, by id
  typing = new Map(); // those who type, by id: who and a timer
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

const me = { name: store.get("name", ""), tag: ownTag() };
let letIn = ""; // the name under which we were
let refused = false;
const talks = new Map(); // rooms by name
const helper = new Talk(robot, true);
const answers = new Set(); // of the robot, that go on: functions that stop them
let current = null;
let typedAt = 0;
let wasConnected = false;

const client = new Client(new URL("ws", location.href.replace(/^http/, "ws")), {
  auth: () => me,
  onOpen() {
    if (talks.size === 0) talks.set(lobby, new Talk(lobby));
    for (const talk of talks.values()) join(talk);
  },
  events: { people: onPeople, joined: onJoined, said: onSaid, typing: onTyping },
  onState: showState,
  onBack: () => current.log.notice("Back again, and nothing was missed"),
  onRefused(reason) {
    refused = true;
    client.close();
    showGate(reason);
  },
});

// idOf tells two people of one name apart.
const idOf = ({ name, tag = "" }) => `${name}\n${tag}`;
const isUs = (who) => idOf(who) === idOf(me);

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
    if (first && came.length === 0) talk.silence = talk.log.welcome();
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
  stopTyping(talk, message);
  showMessage(talk, message, true);
}

function showMessage(talk, message, isNew) {
  talk.waiting.get(message.key)?.element.remove();
  talk.waiting.delete(message.key);
  const what = `${idOf(message)}\n${message.text}`;
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

function onPeople({ room, people }) {
  const talk = talks.get(room);
  if (!talk) return;
  const before = talk.people;
  talk.people = new Map(people.map((who) => [idOf(who), who]));
  if (talk.joined) {
    for (const [id, who] of talk.people) if (!before.has(id)) arrive(talk, who);
    for (const [id, who] of before) if (!talk.people.has(id)) depart(talk, who);
  }
  if (talk === current) drawTalk();
}

function arrive(talk, who) {
  const id = idOf(who);
  if (talk.leaving.has(id)) {
    clearTimeout(talk.leaving.get(id));
    talk.leaving.delete(id);
  } else {
    talk.log.notice(talk.log.who(who), " is here");
  }
}

function depart(talk, who) {
  stopTyping(talk, who);
  talk.leaving.set(idOf(who), setTimeout(() => {
    talk.leaving.delete(idOf(who));
    talk.log.notice(talk.log.who(who), " left");
  }, leaveAfter));
}

function onTyping({ room, ...who }) {
  const talk = talks.get(room);
  if (!talk || isUs(who)) return;
  clearTimeout(talk.typing.get(idOf(who))?.timer);
  talk.typing.set(idOf(who), { who, timer: setTimeout(() => stopTyping(talk, who), typingLasts) });
  showTyping();
}

function stopTyping(talk, who) {
  clearTimeout(talk.typing.get(idOf(who))?.timer);
  if (talk.typing.delete(idOf(who))) showTyping();
}

// --- Talking

function say(talk, text) {
  const key = newKey();
  talk.waiting.set(key, { text, element: talk.log.wait(me, text) });
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
  helper.log.message({ ...me, text: question, time: Date.now() }, true);
  helper.log.toEnd();
  const stop = () => {
    stream.cancel();
    $("text").focus();
  };
  const answer = helper.log.answer(robot, stop);
  const stream = client.pull("ask", question, answer.add);
  answers.add(stop);
  const end = (remark) => {
    answers.delete(stop);
    $("announce").textContent = `${robot}: ${answer.end(remark)} ${remark}`;
  };
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
  const { size } = current.people;
  const count = size === 1 ? "1 person here" : `${size} people here`;
  $("people-section").hidden = current.isRobot;
  $("subtitle").textContent = current.isRobot ? "Only you see this" : current.joined ? count : "\u00a0";
  $("text").placeholder = current.isRobot ? "Ask the robot…" : current.joined ? "Write a message…" : "Write now, it is sent later…";
  $("stop-hint").hidden = !current.isRobot;
  showPeople(current, isUs);
}

function showTyping() {
  const [one, other, ...more] = [...current.typing.values()].map(({ who }) => current.log.who(who));
  const some = more.length > 0 ? ["Several people are typing"] : other ? [one, " and ", other, " are typing"] : [one, " is typing"];
  $("typing").classList.toggle("on", Boolean(one));
  $("typing-text").replaceChildren(...(one ? some : []));
}

// showState: who is away is in the rooms still.
function showState(state, away) {
  $("state").dataset.state = state;
  wasConnected ||= state === "connected";
  if (state === "connected") letIn = me.name;
  $("state").textContent = { connected: "Connected", connecting: wasConnected ? "Reconnecting…" : "Connecting…", offline: "Offline" }[state];
  $("retry").hidden = state === "connected";
  if (state === "connected" || away) return;
  for (const talk of talks.values()) {
    talk.joined = false;
    for (const { who } of [...talk.typing.values()]) stopTyping(talk, who);
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

// showGate asks for a name. Who has one may keep it, and stays connected meanwhile.
function showGate(reason = "") {
  $("app").hidden = true;
  $("gate").hidden = false;
  $("gate-title").textContent = letIn ? "Another name?" : "Come in";
  $("keep").hidden = !letIn;
  $("name").value = me.name;
  $("enter-error").textContent = reason;
  $("name").select();
}

// keepName leaves the gate as if nobody had knocked.
function keepName() {
  if (me.name === letIn && !refused) {
    $("gate").hidden = true;
    $("app").hidden = false;
  } else {
    rename(letIn);
  }
  $("rename").focus();
}

function rename(name) {
  me.name = name;
  store.set("name", name);
  comeIn();
}

function comeIn() {
  refused = false;
  $("gate").hidden = true;
  $("app").hidden = false;
  $("you").textContent = me.name;
  paint($("you-avatar"), me);
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
  if (name) rename(name);
});

$("keep").addEventListener("click", keepName);
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
  if ($("app").hidden) letIn && keepName();
  else if (current.isRobot) for (const stop of answers) stop();
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
$("retry").addEventListener("click", () => client.connect());
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
$("loading").remove();
