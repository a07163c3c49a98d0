// Making elements. Whatever people wrote goes into text nodes and properties, never
// through innerHTML.

export const $ = (id) => document.getElementById(id);

// element makes an element; children are nodes, or texts.
export function element(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

// avatar shows the first letter of a name, in a color of its own.
export function avatar(who) {
  const made = element("span", { className: "avatar", ariaHidden: "true" });
  paint(made, who);
  return made;
}

export function paint(target, who) {
  target.textContent = [...who.name][0]?.toUpperCase() ?? "";
  target.style.setProperty("--hue", hue(who));
}

// hue turns a person into an angle of the color wheel.
export function hue({ name, tag = "" }) {
  let sum = 7;
  for (const letter of name + tag) sum = (sum * 31 + letter.codePointAt(0)) % 3600;
  return sum / 10;
}

// linked turns addresses in a text into links, and the rest into text nodes.
export function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"']*[^\s<>"'.,:;!?)\]])/).map((part, i) =>
    i % 2 ? element("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part);
}
