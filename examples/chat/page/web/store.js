// What this browser remembers: a name, rooms, and which messages were ours.

const memory = new Map(); // for browsers that let nothing be stored

export const store = {
  get(key, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(`chat.${key}`)) ?? otherwise;
    } catch {
      return memory.get(key) ?? otherwise;
    }
  },
  set(key, value) {
    memory.set(key, value);
    try {
      localStorage.setItem(`chat.${key}`, JSON.stringify(value));
    } catch { /* then it lives as long as this page */ }
  },
};

// ownTag tells us from others of our name, in all tabs of this browser.
export function ownTag() {
  const tag = store.get("tag", randomHex(2));
  store.set("tag", tag);
  return tag;
}

function randomHex(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

const remembered = 300; // messages

// newKey makes the key of a message that we are about to say. It is random, so that
// nobody can say something under it before.
export function newKey() {
  const key = randomHex(12);
  store.set("ours", [...store.get("ours", []), [key, 0]].slice(-remembered));
  return key;
}

// isOurs reports whether a message is the one that we said. Everybody has seen its
// key since, so another under the same key is not.
export function isOurs({ key, seq }) {
  const ours = store.get("ours", []);
  const entry = ours.find(([known]) => known === key);
  if (!entry) return false;
  if (entry[1] === 0) {
    entry[1] = seq;
    store.set("ours", ours);
  }
  return entry[1] === seq;
}
