// What the browser keeps: finished replies only. A reply under way, stopped, broken off or withdrawn never gets here, so no
// text that was not released in the end outlives its page. The API key lies in this tab's session storage, nowhere else.

const ONE = "ahalab.chat.conversation.", KEY = "ahalab.chat.key";
const STATES = ["done", "cut", "withdrawn", "stopped"];

// `call()` when a conversation cannot be kept.
let trouble = () => {};
export function onTrouble(call) { trouble = call; }

function attempt(what, otherwise) {
  try { return what(); } catch { return otherwise; }
}

export const setting = {
  get: (name) => attempt(() => localStorage.getItem(`ahalab.chat.${name}`), null) || "",
  set: (name, value) => attempt(() => localStorage.setItem(`ahalab.chat.${name}`, value)),
};

export const key = {
  get: () => attempt(() => sessionStorage.getItem(KEY), null) || "",
  set: (value) => attempt(() => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY))),
};

export function fresh() { return { id: crypto.getRandomValues(new Uint32Array(3)).join("-"), title: "", changed: Date.now(), rounds: [] }; }

// All conversations, the newest first. What is not of this form (an older page's, or somebody's hand) is left out.
export function all() {
  return attempt(() => Object.keys(localStorage), []).filter((name) => name.startsWith(ONE)).map((name) => load(name.slice(ONE.length)))
    .filter((one) => one !== null).sort((a, b) => b.changed - a.changed);
}

export function load(id) {
  return attempt(() => {
    const found = JSON.parse(localStorage.getItem(ONE + id));
    if (found === null || found.id !== id || !Array.isArray(found.rounds)) return null;
    const rounds = found.rounds.filter((one) => typeof one?.question === "string").map(({ question, reply }) => ({ question, reply: readReply(reply) }));
    return { id, title: text(found.title), changed: Number(found.changed) || 0, rounds };
  }, null);
}

function text(value) { return typeof value === "string" ? value : ""; }

function readReply(value) {
  const made = { state: STATES.includes(value?.state) ? value.state : "stopped", text: "", thinking: "", seconds: 0, model: text(value?.model), note: "", category: "", verdict: "", reason: "" };
  if (made.state === "withdrawn") return { ...made, note: text(value.note), category: text(value.category), verdict: text(value.verdict), reason: text(value.reason) };
  if (made.state === "stopped") return made;
  return { ...made, text: text(value.text), thinking: text(value.thinking), seconds: Number(value.seconds) || 0 };
}

// Keep a conversation; false where the browser has no room or forbids it.
export function save(conversation) {
  const { id, title, changed } = conversation;
  const rounds = conversation.rounds.map(({ question, reply }) => ({ question, reply: keptReply(reply) }));
  try {
    localStorage.setItem(ONE + id, JSON.stringify({ id, title, changed, rounds }));
    return true;
  } catch {
    // An older state of it must not stay instead: a reply in it may have been withdrawn or taken back since.
    remove(id);
    trouble();
    return false;
  }
}

function keptReply({ state, text, thinking, seconds, model, note, category, verdict, reason }) {
  if (state === "withdrawn") return { state, model, note, category, verdict, reason };
  return state === "done" || state === "cut" ? { state, model, text, thinking, seconds } : { state: "stopped", model };
}

export function remove(id) { attempt(() => localStorage.removeItem(ONE + id)); }
export function removeAll() { for (const one of attempt(() => Object.keys(localStorage), [])) if (one.startsWith(ONE)) attempt(() => localStorage.removeItem(one)); }

// Another tab of this browser changed something: `call(id, isGone)`, for all of them id is null.
export function onElsewhere(call) {
  addEventListener("storage", (event) => {
    if (event.storageArea !== localStorage) return;
    if (event.key === null) call(null, true);
    else if (event.key.startsWith(ONE)) call(event.key.slice(ONE.length), event.newValue === null);
  });
}
