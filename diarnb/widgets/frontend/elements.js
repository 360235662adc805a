// Elements of a page, made of text and never of markup.

export const ICONS = {
  play: "M4 2v12l10-6z", pause: "M3 2h4v12H3zM9 2h4v12H9z", stop: "M3 3h10v10H3z", wait: "M2 7h3v3H2zM6.5 7h3v3h-3zM11 7h3v3h-3z",
  previous: "M3 3h2v10H3zM13 3v10L6 8z", next: "M11 3h2v10h-2zM3 3v10l7-5z",
  change: "M8 2a3 3 0 110 6 3 3 0 010-6zM2 14c0-3 3-5 6-5s6 2 6 5z",
  out: "M3 7h10v2H3z", in: "M7 3h2v4h4v2H9v4H7V9H3V7h4z", fit: "M1 3h2v10H1zM13 3h2v10h-2zM4 8l3-3v2h2V5l3 3-3 3V9H7v2z",
  undo: "M6 3L2 6.500l4 3.500V7.500h4a2.500 2.500 0 010 5H6v2h4a4.500 4.500 0 000-9H6z",
  redo: "M10 3l4 3.500-4 3.500V7.500H6a2.500 2.500 0 000 5h4v2H6a4.500 4.500 0 010-9h4z",
};

// The only way in which elements are made: what is shown is text, never markup.
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of [["viewBox", "0 0 16 16"], ["width", 16], ["height", 16], ["aria-hidden", true]]) svg.setAttribute(key, value);
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  svg.firstChild.setAttribute("d", ICONS[name]);
  return svg;
}

export const button = (name, label, onclick) => make("button", { type: "button", class: "icon", title: label, "aria-label": label.replace(/ \(.*\)$/, ""), onclick }, icon(name));
export const worded = (label, onclick, title = null) => make("button", { type: "button", class: "text", title, onclick }, label);
export const toggle = (label, title, onclick) => make("button", { type: "button", class: "text", "aria-pressed": "false", title, onclick }, label);

// A colour that comes a second time has stripes, dots or a grid, as its lane has.
const stripes = (way) => `repeating-linear-gradient(${way}var(--page) 0 1px, transparent 1px 4px), `;
const PATTERNS = [stripes(""), stripes("-45deg, "), "radial-gradient(var(--page) 1px, transparent 1.3px) 0 0 / 4px 4px, ",
  stripes("-45deg, ") + stripes("45deg, ")];
export function swatch(color, round = 0) {
  const node = make("i");
  node.style.background = (round ? PATTERNS[round % 4] : "") + color;
  return node;
}

// Keys without a modifier are ours wherever the focus is within: a notebook takes x, d or b for commands on its cells.
// What a notebook does with Shift Enter or Ctrl S stays as it is. A notebook that listens at the document before anybody
// else asks the element that has the focus, and no other, whether keys are for it.
export function guardKeys(root, wanted = () => false) {
  const SUPPRESS = "data-lm-suppress-shortcuts";
  const isOurs = (event) => wanted(event) || (!event.ctrlKey && !event.metaKey && !event.altKey && !(event.shiftKey && event.key === "Enter"));
  const mark = (event) => { if (root.contains(event.target)) event.target.toggleAttribute(SUPPRESS, isOurs(event)); };
  const stop = (event) => { if (isOurs(event)) event.stopPropagation(); };
  window.addEventListener("keydown", mark, { capture: true });
  root.addEventListener("keydown", stop);
  return () => {
    window.removeEventListener("keydown", mark, { capture: true });
    root.removeEventListener("keydown", stop);
  };
}

// The picture and the table that stay where nothing can run are an output of their own; two of one thing are too many.
export function hideStill(name) {
  const still = `.${CSS.escape(name)}`;
  return make("style", {}, `${still}, .jp-OutputArea-child:has(${still}) { display: none; }`);
}
