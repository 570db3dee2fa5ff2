// The frame: conversations, the question field, the reply under way. One reply at a time.

import { h, hush, say, shown, visible } from "./dom.js";
import * as store from "./store.js";
import * as api from "./stream.js";
import { RoundView } from "./thread.js";
import { other, speak, t } from "./words.js";

const place = (id) => document.getElementById(id);
const field = place("question"), rounds = place("rounds"), thread = place("thread");
const narrow = matchMedia("(max-width: 760px)");
let conversation = store.fresh(), views = [], running = null;

// --- asking -------------------------------------------------------------------------------------------------------

// What the model is told: rounds that have a reply. A withdrawn or failed one is left out whole, question and reply.
function messages() {
  const told = conversation.rounds.slice(0, -1).filter(({ reply }) => reply.text && reply.state !== "failed")
    .flatMap(({ question, reply }) => [{ role: "user", content: question }, { role: "assistant", content: reply.text }]);
  return [...told, { role: "user", content: conversation.rounds.at(-1).question }];
}

async function ask(question) {
  if (running) return;
  const model = place("model").value;
  const reply = { state: "waiting", text: "", thinking: "", seconds: 0, model, note: "", category: "", verdict: "", reason: "" };
  const mine = conversation, run = { stop: new AbortController(), reply, ticks: 0, frame: 0 };
  mine.rounds.push({ question, reply });
  mine.title ||= question.trim().replace(/\s+/g, " ").slice(0, 80);
  mine.changed = Date.now();
  running = run;
  store.save(mine);
  append(mine.rounds.at(-1));
  name(mine);
  drawAll();
  drawList();
  follow(true);
  say(t("heardWaiting"));
  let began = 0, heard = Date.now();
  run.ticks = setInterval(() => { if (began && !reply.text) { reply.seconds = (Date.now() - began) / 1000; redraw(); } }, 500);
  try {
    for await (const piece of api.reply({ model, messages: messages(), key: store.key.get(), signal: run.stop.signal })) {
      if (piece.withdrawn) { withdraw(reply, piece.withdrawn); break; }
      if (piece.waiting) { if (Date.now() - heard > 2000 && !reply.slow) { reply.slow = true; redraw(); } continue; }
      heard = Date.now();
      reply.slow = false;
      if (piece.thinking) { if (!began) say(t("heardThinking")); began ||= Date.now(); reply.thinking += piece.thinking; }
      if (piece.content) {
        if (began && !reply.text) reply.seconds = (Date.now() - began) / 1000;
        if (!reply.text) say(t("heardWriting"));
        reply.text += piece.content;
      }
      if (piece.finish) reply.state = piece.finish === "length" ? "cut" : "done";
      else reply.state = "answering";
      redraw();
    }
    if (began && !reply.text && reply.state !== "withdrawn") reply.seconds = (Date.now() - began) / 1000;
  } catch (error) {
    if (run.stop.signal.aborted) { if (reply.state !== "withdrawn") reply.state = "stopped"; }
    else {
      if (!(error instanceof api.Trouble)) console.error(error);
      Object.assign(reply, { state: "failed", fault: error.words || ["pageFailed"], said: error.said || "", key: error.key, left: error.wait || 0 });
      if (reply.left) countDown(reply);
    }
  }
  clearInterval(run.ticks);
  cancelAnimationFrame(run.frame);
  run.stop.abort(); // also closes a connection that goes on after a withdrawal
  running = null;
  buttons();
  mine.changed = Date.now();
  if (mine.gone) return;
  store.save(mine);
  if (conversation === mine) drawAll();
  drawList();
  announce(reply);
}

// The reply goes from the page at once; nothing else holds its text.
function withdraw(reply, { text, category, verdict, reason }) {
  Object.assign(reply, { state: "withdrawn", text: "", thinking: "", seconds: 0, note: text, category, verdict, reason });
  hush();
}

function announce(reply) {
  if (reply.state === "withdrawn") say(t("heardWithdrawn", visible(reply.note)));
  else if (reply.state === "failed") say(t("heardFailed", `${t(...reply.fault)} ${visible(reply.said)}`));
  else if (reply.state === "stopped") say(t("heardStopped"));
  else say(t("heardReply", reply.thinking ? t("thought", reply.seconds) : "", visible(reply.text).slice(0, 2000)));
}

function countDown(reply) {
  const timer = setInterval(() => {
    reply.left -= 1;
    if (reply.left <= 0) clearInterval(timer);
    if (conversation.rounds.at(-1)?.reply === reply) views.at(-1)?.draw(true);
  }, 1000);
}

const act = {
  retry() {
    if (running) return;
    ask(takeLast());
    field.focus();
  },
  edit() {
    if (running) return;
    const question = takeLast();
    if (conversation.rounds.length) store.save(conversation); else { store.remove(conversation.id); conversation.title = ""; }
    field.value = question;
    grow();
    name(conversation);
    drawAll();
    drawList();
    field.focus();
  },
  key: () => openKey(),
  fresh: () => start(),
};

// The last round leaves the conversation; its question.
function takeLast() {
  views.pop().node.remove();
  return conversation.rounds.pop().question;
}

// --- drawing ------------------------------------------------------------------------------------------------------

function redraw() {
  if (!running || running.frame) return;
  const run = running;
  run.frame = requestAnimationFrame(() => {
    run.frame = 0;
    if (conversation.rounds.at(-1)?.reply !== run.reply) return;
    const near = isNear();
    views.at(-1).draw(true);
    follow(near);
  });
}

function drawAll() {
  const near = isNear();
  views.forEach((one, at) => one.draw(at === views.length - 1));
  buttons();
  follow(near);
}

function open(one) {
  conversation = one;
  views = [];
  rounds.replaceChildren();
  one.rounds.forEach(append);
  name(one);
  drawAll();
  drawList();
}

function append(round) {
  views.push(new RoundView(round, act));
  rounds.append(views.at(-1).node);
}

function name(one) {
  place("heading").replaceChildren(...shown(one.title || t("fresh")));
  document.title = `${visible(one.title || t("title"))} — ahalab`;
  thread.classList.toggle("empty", !one.rounds.length);
}

function drawList() {
  const known = store.all();
  place("list").replaceChildren(...known.map((one) => h("li", null,
    h("button", { type: "button", class: "open", "aria-current": one.id === conversation.id ? "true" : null, onclick: () => choose(one.id) }, shown(one.title || t("untitled"))),
    h("button", { type: "button", class: "remove", "aria-label": t("deleteOne", visible(one.title || t("untitled"))), title: t("delete"), onclick: () => discard(one) }, "×"))));
  place("clear").hidden = !known.length;
}

function buttons() {
  place("send").hidden = running !== null;
  place("stop").hidden = running === null;
}

function isNear() { return thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80; }
function follow(near) {
  if (near) thread.scrollTop = thread.scrollHeight;
  place("latest").hidden = isNear();
}

function grow() {
  field.rows = Math.min(8, Math.max(1, field.value.split("\n").length, Math.ceil(field.value.length / (narrow.matches ? 36 : 80))));
}

// --- conversations ------------------------------------------------------------------------------------------------

function halt() { if (running) running.stop.abort(); }

function start() {
  halt();
  open(store.fresh());
  closeSide();
  field.focus();
}

function choose(id) {
  const found = store.load(id);
  if (id !== conversation.id && found) { halt(); open(found); thread.scrollTop = thread.scrollHeight; }
  closeSide();
  field.focus();
}

async function discard(one) {
  if (!await sure(t("sureOne", visible(one.title || t("untitled"))))) return;
  forget(one.id);
  store.remove(one.id);
  if (one.id === conversation.id) open(store.fresh()); else drawList();
  say(t("deleted"));
}

async function discardAll() {
  if (!await sure(t("sureAll"))) return;
  forget(null);
  store.removeAll();
  open(store.fresh());
  say(t("allDeleted"));
}

// A conversation that was deleted, here or in another tab, is not kept again when its reply ends.
function forget(id) {
  if (id !== null && id !== conversation.id) return;
  conversation.gone = true;
  halt();
}

let answerSure = () => {};
function sure(text) {
  place("sure-text").textContent = text;
  place("sure").showModal();
  place("sure-no").focus();
  return new Promise((done) => { answerSure = done; });
}
place("sure-yes").addEventListener("click", () => { answerSure(true); place("sure").close(); });
place("sure-no").addEventListener("click", () => place("sure").close());
place("sure").addEventListener("close", () => answerSure(false));

// --- key, models, theme, side -------------------------------------------------------------------------------------

function openKey() {
  place("key-field").value = "";
  place("key-forget").hidden = !store.key.get();
  place("key-dialog").showModal();
  place("key-field").focus();
}

async function useKey(value) {
  // Anything else cannot stand in a header: most often a word of the text around the key was copied too.
  if (value && !/^[\x21-\x7e]+$/.test(value)) {
    place("key-field").setCustomValidity(t("keyOdd"));
    place("key-field").reportValidity();
    return;
  }
  store.key.set(value);
  place("key-field").value = "";
  place("key-dialog").close();
  await findModels();
  const last = conversation.rounds.at(-1)?.reply;
  if (value && last?.key) act.retry(); else field.focus();
}

async function findModels() {
  const picker = place("model"), wanted = picker.value || store.setting.get("model");
  try {
    const names = await api.models(store.key.get());
    picker.replaceChildren(...names.map((one) => { const made = h("option", null, shown(one)); made.value = one; return made; }));
    if (names.includes(wanted)) picker.value = wanted;
    hasKey = Boolean(store.key.get());
    notice(null);
  } catch (error) {
    if (!(error instanceof api.Trouble)) throw error;
    picker.replaceChildren(h("option", { value: "", "data-words": "noModel" }, t("noModel")));
    hasKey = false;
    notice(error);
    if (error.key) say(t("keyAsked"));
  }
  place("key").textContent = t(hasKey ? "keySet" : "key");
}

// A line above the question field: the server is not there, needs a key, the browser keeps nothing.
let noticed = null, hasKey = false;
function notice(trouble) {
  noticed = trouble;
  document.querySelector("#ask .notice")?.remove();
  if (!trouble) return;
  const { words, said, key } = trouble;
  const button = h("button", { type: "button", class: "small", onclick: key ? openKey : findModels }, t(key ? "keyEnter" : "lookAgain"));
  place("ask").prepend(h("div", { class: "notice note", role: "alert" }, h("p", null, t(...words), said ? ` (${visible(said)})` : ""), button));
}
store.onTrouble(() => notice({ words: ["noRoom"] }));

const THEMES = ["", "light", "dark"];
function theme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen; else delete document.documentElement.dataset.theme;
  place("theme").textContent = t("theme", chosen);
}
place("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(store.setting.get("theme")) + 1) % THEMES.length];
  store.setting.set("theme", next);
  theme(next);
  say(t("theme", next));
});

const NAMES = { en: ["English", "en"], zh: ["中文", "zh-Hans"] };
// Everything on the page in the language that was chosen; what is open stays open.
function talk(chosen) {
  speak(chosen);
  const [text, tag] = NAMES[other()];
  place("language").textContent = text;
  place("language").lang = tag;
  place("key").textContent = t(hasKey ? "keySet" : "key");
  place("key-why").replaceChildren(...t("keyWhy").split("`").map((part, at) => (at % 2 ? h("code", null, part) : part)));
  theme(store.setting.get("theme"));
  notice(noticed);
}
place("language").addEventListener("click", () => {
  const opened = views.map((one) => one.thinking.open), top = thread.scrollTop;
  talk(other());
  open(conversation);
  views.forEach((one, at) => { one.thinking.open = opened[at]; });
  thread.scrollTop = top;
  say(t("spoken"));
});

function closeSide() {
  place("pane").inert = false;
  if (document.body.classList.contains("side-open")) { document.body.classList.remove("side-open"); place("menu").focus(); }
  place("menu").setAttribute("aria-expanded", "false");
  place("veil").hidden = true;
}
place("menu").addEventListener("click", () => {
  if (document.body.classList.contains("side-open")) return closeSide();
  document.body.classList.add("side-open");
  place("menu").setAttribute("aria-expanded", "true");
  place("veil").hidden = false;
  place("pane").inert = true;
  place("new").focus();
});
place("veil").addEventListener("click", closeSide);

place("key").addEventListener("click", openKey);
place("key-form").addEventListener("submit", (event) => { event.preventDefault(); useKey(place("key-field").value.trim()); });
place("key-field").addEventListener("input", () => place("key-field").setCustomValidity(""));
place("key-forget").addEventListener("click", () => useKey(""));
place("key-cancel").addEventListener("click", () => place("key-dialog").close());
place("model").addEventListener("change", () => store.setting.set("model", place("model").value));
place("new").addEventListener("click", start);
place("clear").addEventListener("click", discardAll);
place("stop").addEventListener("click", () => { halt(); field.focus(); });
place("latest").addEventListener("click", () => follow(true));
thread.addEventListener("scroll", () => { place("latest").hidden = isNear(); }, { passive: true });
field.addEventListener("input", grow);

place("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = field.value;
  if (!question.trim() || running) return;
  field.value = "";
  grow();
  ask(question);
  field.focus();
});
field.addEventListener("keydown", (event) => {
  // An input method's own Enter chooses a word: it must not send.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) { event.preventDefault(); place("ask").requestSubmit(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
  if (document.body.classList.contains("side-open")) closeSide(); else halt();
});

store.onElsewhere((id, gone) => {
  if (gone && (id === null || id === conversation.id)) { forget(id); open(store.fresh()); }
  else if (!running && id === conversation.id) open(store.load(id) || store.fresh());
  else drawList();
});

talk();
open(store.all()[0] || store.fresh());
findModels();
if (!narrow.matches) field.focus();
