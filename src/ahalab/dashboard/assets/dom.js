// Elements from plain values. Text goes in as text nodes only: nothing here, or elsewhere on this page, parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export function h(tag, props, ...children) { return fill(document.createElement(tag), props, children); }
export function s(tag, props, ...children) { return fill(document.createElementNS(SVG, tag), props, children); }

const KINDS = { word: "mark", tag: "span", hidden: "span", cut: "span" };

// Pieces of a sample's text, as the server cut them: [kind, text].
export function pieces(list) {
  return (list || []).map(([kind, text]) => {
    const tag = KINDS[kind];
    return tag ? h(tag, kind === "word" ? null : { class: kind }, text) : text;
  });
}

// New content for a place that may hold the focus, open details and scrolled texts: they stay where they are.
export function replace(place, ...content) {
  const active = document.activeElement;
  const focus = place.contains(active) ? active.getAttribute("data-key") || active.id : null;
  const open = new Map([...place.querySelectorAll("details[data-key]")].map((d) => [d.dataset.key, d.open]));
  const scrolled = new Map([...place.querySelectorAll("[data-scroll]")].map((d) => [d.dataset.scroll, d.scrollTop]));
  place.replaceChildren(...content.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  for (const d of place.querySelectorAll("details[data-key]")) if (open.has(d.dataset.key)) d.open = open.get(d.dataset.key);
  for (const d of place.querySelectorAll("[data-scroll]")) d.scrollTop = scrolled.get(d.dataset.scroll) || 0;
  if (focus) {
    const again = [...place.querySelectorAll("[data-key], [id]")].find((one) => one.getAttribute("data-key") === focus || one.id === focus);
    if (again) again.focus({ preventScroll: true });
  }
}

// What a screen reader hears; the same text twice is heard twice.
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 60);
}

export function title(text) { document.title = `${text} — ahalab`; }
