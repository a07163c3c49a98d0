import { connect } from "./wsrouter/wsrouter.js";
import { begin } from "./trace.js";

const form = document.querySelector("form");
const [engrave, stop] = form.querySelectorAll("button");
const bar = document.querySelector("progress");
const plate = document.querySelector("#plate");
const state = document.querySelector("#state");
const trace = document.querySelector("#trace");

const client = connect("ws", { resume: true });
client.onstate = (now) => {
  if (client.away) state.textContent = "Offline, the work goes on";
  else if (now !== "open") state.textContent = "Connecting…";
  else if (!stop.hidden) state.textContent = "Engraving";
  else state.textContent = "Ready";
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const work = new AbortController();
  const span = begin("engrave");
  stop.onclick = () => work.abort(new Error("stopped"));
  busy(true);
  plate.textContent = "";
  bar.value = 0;
  trace.hidden = false;
  trace.querySelector("code").textContent = span.id;
  let failed;
  try {
    const { signal } = work;
    for await (const { word, done, words, waiting } of client.pull("engrave", form.text.value, { signal, meta: span.meta })) {
      state.textContent = waiting ? "The worker has gone, waiting for the next" : `${done} of ${words} words`;
      if (waiting) continue;
      plate.append(`${word} `);
      bar.value = done / words;
    }
    state.textContent = "Done";
  } catch (err) {
    failed = err;
    state.textContent = `Not done: ${err.message}`;
  }
  busy(false);
  await span.end(failed);
});

function busy(is) {
  engrave.disabled = is;
  stop.hidden = !is;
}
