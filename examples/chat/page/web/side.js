// The list of rooms and people: beside the conversation, or on narrow screens over it.

import { $, avatar, element } from "./dom.js";

const narrow = matchMedia("(max-width: 760px)");

// showRooms draws the lists of rooms: those that we are in, others worth a visit,
// and the robot. actions has show(talk), open(name) and leave(talk).
export function showRooms({ talks, current, helper, others }, actions) {
  const focused = document.activeElement?.dataset?.room;
  const item = (talk) => roomItem(talk, talk === current, talks.size > 1, actions);
  $("rooms").replaceChildren(
    ...[...talks.values()].map(item),
    ...others.map((name) => element("li", { className: "other" }, roomButton(name, "Open ", () => actions.open(name)))),
  );
  $("robot").replaceChildren(item(helper));
  if (focused) $("side").querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  const unread = [...talks.values()].reduce((sum, talk) => sum + talk.unread, 0);
  $("elsewhere").hidden = unread === 0;
  $("elsewhere").textContent = unread;
  document.title = `${unread ? `(${unread}) ` : ""}${current.name} · Chat`;
}

function roomItem(talk, isCurrent, canLeave, actions) {
  const button = roomButton(talk.name, "", () => actions.show(talk));
  if (isCurrent) button.ariaCurrent = "true";
  if (talk.unread) {
    button.append(element("span", { className: "badge" }, `${talk.unread}`, element("span", { className: "sr" }, " unread")));
  }
  const item = element("li", {}, button);
  if (!talk.isRobot && canLeave) {
    item.append(element("button", { className: "quiet icon leave", type: "button", ariaLabel: `Leave ${talk.name}`,
      onclick: () => actions.leave(talk) }, $("close-side").firstElementChild.cloneNode(true)));
  }
  return item;
}

function roomButton(name, verb, choose) {
  return element("button", { className: "room", type: "button", dataset: { room: name }, onclick: choose },
    element("span", { className: "sr" }, verb), element("span", { className: "grow", dir: "auto" }, name));
}

// showPeople draws who is in a room; log knows how to name them.
export function showPeople({ name, people, log }, isUs) {
  $("people-title").replaceChildren("In ", element("bdi", {}, name));
  $("people").replaceChildren(...[...people.values()].map((who) =>
    element("li", {}, avatar(who), element("span", { className: "grow" }, log.who(who)), isUs(who) ? "(you)" : "")));
}

// focusTalk goes where one goes on: to the message box, or on a phone, where that
// would bring up its keyboard, to the heading.
export function focusTalk() {
  closeSide();
  (narrow.matches ? $("title") : $("text")).focus();
}

function openSide() {
  $("side").classList.add("open");
  $("talk").inert = true;
  $("open-side").ariaExpanded = "true";
  $("close-side").focus();
}

function closeSide() {
  $("side").classList.remove("open");
  $("talk").inert = false;
  $("open-side").ariaExpanded = "false";
}

$("open-side").addEventListener("click", openSide);
$("close-side").addEventListener("click", () => {
  closeSide();
  $("open-side").focus();
});
$("side").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !$("side").classList.contains("open")) return;
  event.preventDefault(); // it does nothing else then
  $("close-side").click();
});
$("app").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) closeSide(); // what lies beside it is inert
});
narrow.addEventListener("change", closeSide);
