// What is seen of a conversation.

import { avatar, element, hue, linked } from "./dom.js";

export const remembered = 400; // entries of a log; older ones are taken out of the page
const together = 5 * 60_000; // ms within which messages of one person are a group
const nearEnd = 80; // pixels
const calm = 500; // ms before we say that a message waits

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

// Log is one conversation on the page. Only the one that is shown is not hidden.
export class Log {
  #list = element("div");
  #waiting = element("div", { ariaLive: "off" });
  #newer;
  #last = {}; // the name, tag, time and day of the last entry
  #tags = new Map(); // up to two that we have seen, by name
  #stuck = true; // the end is in sight, and stays there
  #top = 0; // where we were scrolled to

  constructor(title, newer) {
    this.#newer = newer;
    const inner = element("div", { className: "inner" }, this.#list, this.#waiting);
    this.element = element("div", { className: "log", role: "log", ariaLive: "polite", ariaLabel: `Messages in ${title}`,
      tabIndex: 0, hidden: true }, inner);
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const sizes = new ResizeObserver(() => this.#follow());
    sizes.observe(inner);
    sizes.observe(this.element);
  }

  show() {
    this.quietly(() => { this.element.hidden = false; });
    this.toEnd();
  }

  hide() {
    this.element.hidden = true;
  }

  // quietly does what a screen reader need not tell: history, and change of rooms.
  quietly(change) {
    this.element.ariaBusy = "true";
    change();
    requestAnimationFrame(() => requestAnimationFrame(() => { this.element.ariaBusy = "false"; }));
  }

  // toEnd shows the newest again, as when one has said something oneself.
  toEnd() {
    this.#stick(true);
    this.#follow();
  }

  // who names a person, with the tag where there are two of one name.
  who({ name, tag = "" }) {
    const tags = this.#tags.get(name) ?? new Set();
    if (tags.size < 2) this.#tags.set(name, tags.add(tag));
    if (this.#tags.size > remembered) this.#tags.delete(this.#tags.keys().next().value);
    const made = element("span", { className: "who", dataset: { name, tag } }, element("bdi", {}, name));
    if (tags.size < 2) return made;
    for (const one of [...this.element.querySelectorAll(`.who[data-name="${CSS.escape(name)}"]`), made]) {
      if (!one.querySelector(".tag")) one.append(" ", element("span", { className: "tag" }, one.dataset.tag));
    }
    return made;
  }

  message({ name, tag = "", text, time }, mine) {
    this.#day(time);
    const who = mine ? "You" : this.who({ name, tag });
    this.#append(bubble({ name, tag, who, text, time, mine, follows: this.#follows({ name, tag, mine, time }) }));
    Object.assign(this.#last, { name, tag, mine, time });
  }

  // notice says something of the room; parts are texts and elements.
  notice(...parts) {
    const made = element("p", { className: "notice" }, ...parts);
    this.#append(made);
    this.#last.name = null;
    return made;
  }

  // welcome is what a room shows in which nothing was said.
  welcome() {
    const made = element("div", { className: "welcome" },
      element("img", { src: "icon.svg", alt: "", width: 48, height: 48 }),
      element("p", { className: "lead" }, "It is quiet here. Say hello!"),
      element("p", {}, "The address of this page leads into this room: send it to a friend."));
    this.#append(made);
    return made;
  }

  // suggest offers things to say.
  suggest(texts, say) {
    this.#append(element("div", { className: "suggestions" }, ...texts.map((text) =>
      element("button", { className: "pill", type: "button", onclick: () => say(text) }, text))));
  }

  // answer makes the bubble that a stream of words fills.
  answer(name, onStop) {
    const made = bubble({ name, who: name, text: "", time: Date.now(), mine: false, follows: false });
    const text = made.querySelector(".text");
    const stop = element("button", { className: "pill stop", type: "button", onclick: onStop, ariaKeyShortcuts: "Escape" }, "Stop");
    made.querySelector(".content").append(stop);
    made.ariaLive = "off"; // one word after another is no reading; the end is announced
    made.classList.add("streams");
    this.#append(made);
    this.#last.name = null;
    return {
      add: (word) => text.append(text.textContent ? ` ${word}` : word),
      end: (remark) => {
        made.classList.remove("streams");
        stop.remove();
        if (remark) made.querySelector(".content").append(element("p", { className: "remark" }, remark));
        return text.textContent;
      },
    };
  }

  // wait shows a message that has not been said yet, below all others. It says so
  // only if that takes a while.
  wait({ name, tag }, text) {
    const time = Date.now();
    const made = bubble({ name, tag, who: "You", text, time, mine: true, follows: this.#follows({ name, tag, mine: true, time }) });
    setTimeout(() => {
      made.classList.add("waits");
      made.querySelector(".content").append(element("p", { className: "remark" }, "Waiting to be sent"));
    }, calm);
    this.#waiting.append(made);
    return made;
  }

  #follows({ name, tag, mine, time }) {
    const last = this.#last;
    return last.name === name && last.tag === tag && last.mine === mine && time - last.time < together;
  }

  #append(entry) {
    this.#list.append(entry);
    while (this.#list.children.length > remembered) this.#list.firstChild.remove();
    if (!this.#stuck && !this.element.hidden) this.#newer.hidden = false;
  }

  #day(time) {
    const day = new Date(time).toDateString();
    if (day === this.#last.day) return;
    this.#append(element("p", { className: "day" }, calendar.format(time)));
    this.#last = { day };
  }

  #follow() {
    if (!this.#stuck) return;
    this.element.scrollTop = this.element.scrollHeight;
    this.#top = this.element.scrollTop;
  }

  // scrolled tells the user's scrolling up from what follows of a longer log.
  #scrolled() {
    if (this.element.hidden) return;
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    const up = scrollTop < this.#top;
    this.#top = scrollTop;
    if (scrollHeight - scrollTop - clientHeight < nearEnd) {
      this.#stick(true);
      this.#newer.hidden = true;
    } else if (up) {
      this.#stick(false);
    }
  }

  // stick says whether we follow, or the browser keeps what is read where it is when old
  // entries go. Both at once would not do: what it does looks like scrolling up.
  #stick(stuck) {
    this.#stuck = stuck;
    this.element.classList.toggle("read", !stuck);
  }
}

function bubble({ name, tag, who, text, time, mine, follows }) {
  const at = new Date(time);
  const by = element("span", { className: "name" }, who);
  by.style.setProperty("--hue", hue({ name, tag }));
  const meta = element("p", { className: "meta" }, by, " ",
    element("time", { dateTime: at.toISOString(), title: at.toLocaleString() }, clock.format(at)));
  const content = element("div", { className: "content" }, meta,
    element("p", { className: "text", dir: "auto" }, ...linked(text)));
  const made = element("div", { className: "message" }, content);
  made.classList.toggle("mine", mine);
  made.classList.toggle("follows", follows);
  if (!mine) made.prepend(avatar({ name, tag }));
  return made;
}
