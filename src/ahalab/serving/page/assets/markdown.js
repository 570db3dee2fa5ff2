// A reply as a person reads it: paragraphs, headings, lists, quotes, tables, code, bold and italic. Built from elements and
// text nodes, never from markup. Links stay text and pictures are never loaded: either could carry a conversation away.
// Every step is linear in the text, whatever a model writes.

import { copy, h, say, shown, visible } from "./dom.js";
import { t } from "./words.js";

const DEEPEST = 5; // lists, quotes and emphasis inside each other; deeper ones are shown as they were typed

// Draw `text` into `place`; blocks that are there already stay the same elements, so selections and scrolling stay too.
export function draw(place, text) {
  const found = blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
  const there = [...place.children], more = [];
  for (let at = 0; at < found.length; at++) {
    const old = there[at], source = found[at].source;
    if (old && sources.get(old) === source) continue;
    const made = element(found[at], 0);
    sources.set(made, source);
    if (old) old.replaceWith(made); else more.push(made);
  }
  for (const old of there.slice(found.length)) old.remove();
  for (const made of more) place.append(made);
}
const sources = new WeakMap(); // block element → its Markdown; weak, so that it goes when the element goes

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +)(.*)$/;
const QUOTE = /^ {0,3}> ?/;

function isRule(line) { return line.length < 200 && /^([-*_])\1\1+$/.test(line.replaceAll(" ", "")); }
function indent(line) { return line.length - line.trimStart().length; }

export function blocks(lines, depth) {
  const out = [];
  let at = 0;
  const add = (kind, end, more) => {
    out.push({ kind, source: lines.slice(at, end).join("\n"), ...more });
    at = end;
  };
  while (at < lines.length) {
    const line = lines[at];
    if (!line.trim()) { at++; continue; }
    const fence = FENCE.exec(line), heading = HEADING.exec(line), item = ITEM.exec(line);
    if (fence) {
      let end = at + 1;
      while (end < lines.length && !closes(lines[end], fence[1])) end++;
      const text = lines.slice(at + 1, end).join("\n");
      add("code", Math.min(end + 1, lines.length), { text, language: fence[2].trim().slice(0, 30) });
    } else if (heading) add("heading", at + 1, { level: heading[1].length, text: heading[2].replace(/[ \t]#+[ \t]*$/, "") });
    else if (isRule(line)) add("rule", at + 1);
    else if (isTable(lines, at)) {
      let end = at + 2;
      while (end < lines.length && lines[end].includes("|")) end++;
      add("table", end, { head: cells(line), rows: lines.slice(at + 2, end).map(cells) });
    } else if (QUOTE.test(line) && depth < DEEPEST) {
      let end = at;
      while (end < lines.length && QUOTE.test(lines[end])) end++;
      add("quote", end, { inner: blocks(lines.slice(at, end).map((one) => one.replace(QUOTE, "")), depth + 1) });
    } else if (item && depth < DEEPEST) {
      const { end, items } = list(lines, at, item);
      add("list", end, { ordered: /\d/.test(item[2]), first: parseInt(item[2], 10), items: items.map((one) => blocks(one, depth + 1)) });
    } else {
      let end = at + 1;
      while (end < lines.length && lines[end].trim() && !FENCE.test(lines[end]) && !HEADING.test(lines[end]) && !(ITEM.test(lines[end]) && depth < DEEPEST)
        && !(QUOTE.test(lines[end]) && depth < DEEPEST) && !isRule(lines[end]) && !isTable(lines, end)) end++;
      add("paragraph", end, { text: lines.slice(at, end).map((one) => one.trim()).join("\n") });
    }
  }
  return out;
}

function closes(line, mark) { const bare = line.trim(); return bare.length >= mark.length && bare === mark[0].repeat(bare.length); }

// The items of the list that begins here, each as its own lines. A line further in than the marker belongs to the item.
function list(lines, at, first) {
  const items = [], base = first[1].length, ordered = /\d/.test(first[2]);
  let inner = 0, end = at, last = at;
  for (; end < lines.length; end++) {
    const line = lines[end], item = ITEM.exec(line);
    if (item && indent(line) <= base + 1 && /\d/.test(item[2]) === ordered && !isRule(line)) {
      if (indent(line) < base) break;
      items.push([item[4]]);
      inner = base + item[2].length + 1;
    } else if (!line.trim()) { items.at(-1).push(""); continue; }
    else if (indent(line) > base + 1) items.at(-1).push(line.slice(Math.min(indent(line), inner)));
    else if (lines[end - 1].trim() && !item && !FENCE.test(line) && !HEADING.test(line) && !QUOTE.test(line) && !isRule(line)) items.at(-1).push(line);
    else break;
    last = end;
  }
  return { end: last + 1, items };
}

function cells(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return bare.split("|").slice(0, 50).map((one) => one.trim());
}

function isTable(lines, at) {
  if (at + 1 >= lines.length || !lines[at].includes("|") || !lines[at + 1].includes("-") || !lines[at + 1].includes("|")) return false;
  const marks = cells(lines[at + 1]);
  return marks.length === cells(lines[at]).length && marks.every((one) => /^:?-+:?$/.test(one));
}

function element(block, depth) {
  const inside = (list) => list.map((one) => element(one, depth + 1));
  if (block.kind === "code") return codeBlock(block);
  if (block.kind === "heading") return h("p", { class: `heading level-${block.level}`, role: "heading", "aria-level": Math.min(6, block.level + 2), dir: "auto" }, inline(block.text));
  if (block.kind === "rule") return h("hr");
  if (block.kind === "quote") return h("blockquote", null, inside(block.inner));
  if (block.kind === "table") return tableOf(block);
  if (block.kind === "list") {
    const items = block.items.map((one) => h("li", { dir: "auto" }, one.length === 1 && one[0].kind === "paragraph" ? inline(one[0].text) : inside(one)));
    return block.ordered ? h("ol", { start: block.first === 1 ? null : block.first }, items) : h("ul", null, items);
  }
  return h("p", { dir: "auto" }, inline(block.text));
}

function codeBlock({ text, language }) {
  const button = h("button", { type: "button", class: "small" }, t("copyCode"));
  button.addEventListener("click", async () => say(await copy(visible(text)) ? t("codeCopied") : t("noCopying")));
  return h("div", { class: "code" }, h("div", { class: "code-head" }, h("span", null, shown(language)), button),
    h("pre", { tabindex: "0", role: "group", "aria-label": t("code") }, h("code", null, shown(text))));
}

function tableOf({ head, rows }) {
  const row = (list, tag) => h("tr", null, head.map((_, at) => h(tag, { dir: "auto" }, inline(list[at] || ""))));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t("table") },
    h("table", null, h("thead", null, row(head, "th")), h("tbody", null, rows.map((one) => row(one, "td")))));
}

// Code spans, **bold** and *italic*; all else is text.
export function inline(text, depth = 0) {
  const out = [], missing = new Set();
  let plain = 0, at = 0;
  const flush = (to) => { if (to > plain) out.push(shown(unescaped(text.slice(plain, to)))); };
  const put = (node, from, to) => { flush(from); out.push(node); plain = at = to; };
  while (at < text.length) {
    const character = text[at];
    if (character === "\\" && (text[at + 1] === "*" || text[at + 1] === "`")) at += 2;
    else if (character === "`") {
      let end = at;
      while (text[end] === "`") end++;
      const close = runOf(text, end, end - at, missing);
      if (close < 0) at = end;
      else put(h("code", null, shown(text.slice(end, close).replace(/^ (.*[^ ].*) $/s, "$1"))), at, close + end - at);
    } else if (character === "*" && depth < DEEPEST) {
      let end = at;
      while (text[end] === "*") end++;
      const mark = end - at > 1 ? "**" : "*", from = at + mark.length;
      const sticks = end - at < 4 && end < text.length && !/\s/.test(text[end]) && (mark === "**" || at === 0 || !/[A-Za-z0-9]/.test(text[at - 1]));
      const close = sticks ? closing(text, end, mark, missing) : -1;
      if (close < 0) at = end;
      else put(h(mark === "**" ? "strong" : "em", null, inline(text.slice(from, close), depth + 1)), at, close + mark.length);
    } else at++;
  }
  flush(text.length);
  return out;
}

function unescaped(text) { return text.replace(/\\([*`])/g, "$1"); }

// Where a run of exactly so many backticks begins; -1 where none does, which is then remembered.
function runOf(text, from, length, missing) {
  if (missing.has(length)) return -1;
  for (let at = text.indexOf("`", from); at >= 0; at = text.indexOf("`", at)) {
    let end = at;
    while (text[end] === "`") end++;
    if (end - at === length) return at;
    at = end;
  }
  missing.add(length);
  return -1;
}

function closing(text, from, mark, missing) {
  if (missing.has(mark)) return -1;
  for (let at = text.indexOf("*", from); at >= 0; at = text.indexOf("*", at)) {
    let end = at;
    while (text[end] === "*") end++;
    if (mark === "**" ? end - at >= 2 : end - at === 1) return /\s/.test(text[at - 1]) ? -1 : end - mark.length;
    at = end;
  }
  missing.add(mark);
  return -1;
}
