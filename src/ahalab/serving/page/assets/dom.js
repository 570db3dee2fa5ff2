// Elements from plain values. Text goes in as text nodes only: nothing on this page parses markup.

import { t } from "./words.js";

export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  // Children first: with dir="auto" a browser would look through all of them again for each one that comes.
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) node.append(child);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return node;
}

// What a screen reader hears. It is taken away again: no text of a reply may stay behind when the reply goes.
let timer = 0;
export function say(text) {
  const place = document.getElementById("said");
  clearTimeout(timer);
  place.textContent = "";
  timer = setTimeout(() => {
    place.textContent = text;
    timer = setTimeout(() => { place.textContent = ""; }, 4000);
  }, 60);
}

export function hush() {
  clearTimeout(timer);
  document.getElementById("said").textContent = "";
}

// Hidden characters (controls, bidirectional marks, tags, piles of combining marks) become readable codes, as everywhere in
// ahalab. Line feeds and tabs stay, and so does the joiner between two emoji, which can hide nothing.
const HIDDEN = /(?:[^\P{C}\n\t]|[\p{Zl}\p{Zp}]|(?<=[\p{Mn}\p{Me}]{3})[\p{Mn}\p{Me}])+/gu;
const MOST_CODES = 16; // of one run; a reply must not fill the page with them

function code(run) {
  const all = [...run], codes = all.slice(0, MOST_CODES).map((one) => `\\u{${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}}`).join("");
  return all.length > MOST_CODES ? `${codes}…${t("hidden", all.length)}` : codes;
}

function isJoiner(text, match) {
  return match[0] === "\u200D" && /\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?$/u.test(text.slice(Math.max(0, match.index - 8), match.index))
    && /^\p{Extended_Pictographic}/u.test(text.slice(match.index + 1, match.index + 3));
}

// Text as nodes: strings, and spans for what is hidden.
export function shown(text) {
  const out = [];
  let at = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (isJoiner(text, match)) continue;
    if (match.index > at) out.push(text.slice(at, match.index));
    out.push(h("span", { class: "hidden" }, code(match[0])));
    at = match.index + match[0].length;
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

// The same as one string, for the clipboard: what is copied is what was seen.
export function visible(text) {
  return text.replace(HIDDEN, (found, at) => (isJoiner(text, { 0: found, index: at }) ? found : code(found)));
}

// True where the text lies in the clipboard. Over plain HTTP beyond this machine browsers offer the old way only.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = h("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { done = false; }
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}
