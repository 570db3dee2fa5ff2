// The gateway's API: models, and a reply piece by piece. Whatever goes wrong becomes a `Trouble`, which names its words.

import { LANGUAGES } from "./words.js";

const LONGEST_EVENT = 1_000_000, LONGEST_REPLY = 4_000_000; // characters; a reply beyond is a fault of the server

export class Trouble extends Error {
  // `words`: their name and values in words.js · `key`: an API key would help · `wait`: seconds that the server asks to wait
  // `said`: the server's own words
  constructor(words, { key = false, wait = 0, said = "" } = {}) {
    super(words.join(" "));
    Object.assign(this, { words, key, wait, said });
  }
}

async function ask(path, key, options) {
  try {
    return await fetch(path, { ...options, cache: "no-store", credentials: "omit", headers: { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(["noAnswer"]);
  }
}

async function refused(answer) {
  let said = "";
  try {
    const body = JSON.parse((await answer.text()).slice(0, 100_000));
    if (typeof body?.error?.message === "string") said = body.error.message.slice(0, 500);
  } catch { /* no JSON: the status speaks */ }
  const told = answer.headers.get("Retry-After") || "", date = (Date.parse(told) - Date.now()) / 1000;
  const wait = /^\d+$/.test(told) ? Number(told) : date > 0 ? date : 0;
  return new Trouble(`status${answer.status}` in LANGUAGES.en ? [`status${answer.status}`] : ["refused", answer.status], { key: answer.status === 401, wait: Math.min(3600, Math.ceil(wait)), said });
}

export async function models(key) {
  const answer = await ask("v1/models", key, {});
  if (!answer.ok) throw await refused(answer);
  const body = await answer.json().catch(() => null);
  return (Array.isArray(body?.data) ? body.data : []).map((one) => one?.id).filter((one) => typeof one === "string" && one);
}

// Yields {thinking, content} as they come, {waiting: true} for a keep-alive, {withdrawn: {...}} and {finish} at the end.
export async function* reply({ model, messages, key, signal }) {
  const answer = await ask("v1/chat/completions", key, {
    method: "POST", signal, headers: { "Content-Type": "application/json", Accept: "text/event-stream" }, body: JSON.stringify({ model, messages, stream: true }),
  });
  if (!answer.ok) throw await refused(answer);
  if (!(answer.headers.get("Content-Type") || "").startsWith("text/event-stream")) {
    const whole = await answer.json().catch(() => null), choice = whole?.choices?.[0];
    if (!choice) throw new Trouble(["noReply"]);
    yield* read({ ...whole, choices: [{ ...choice, delta: choice.message }] });
    return;
  }
  let finished = false, length = 0;
  for await (const event of events(answer.body)) {
    if (event === null) { yield { waiting: true }; continue; }
    if (event === "[DONE]") break;
    let frame;
    try { frame = JSON.parse(event); } catch { throw new Trouble(["noReply"]); }
    if (frame?.error) throw new Trouble(["fault"], { said: typeof frame.error.message === "string" ? frame.error.message.slice(0, 500) : "" });
    for (const piece of read(frame)) {
      length += (piece.content || "").length + (piece.thinking || "").length;
      if (length > LONGEST_REPLY) throw new Trouble(["tooLong"]);
      finished ||= piece.finish !== undefined;
      yield piece;
    }
  }
  if (!finished) throw new Trouble(["brokeOff"]);
}

function string(value) { return typeof value === "string" ? value : ""; }

function* read(frame) {
  const choice = frame?.choices?.[0], delta = choice?.delta || {}, extension = frame?.ahalab || choice?.ahalab;
  const thinking = string(delta.reasoning_content) || string(delta.reasoning), content = string(delta.content) || string(delta.refusal);
  const withdrawn = extension?.retracted === true || choice?.finish_reason === "content_filter";
  if (withdrawn) yield { withdrawn: { text: string(extension?.text), category: string(extension?.category), verdict: string(extension?.verdict_id), reason: string(extension?.reason) } };
  else if (thinking || content) yield { thinking, content };
  if (typeof choice?.finish_reason === "string") yield { finish: choice.finish_reason };
}

// The data of server-sent events, null for a comment. Leaving the loop closes the connection.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      if (rest.length > LONGEST_EVENT) throw new Trouble(["noReply"]);
      for (const raw of lines) {
        const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
        if (!line) {
          if (data.length) { const whole = data.join("\n"); data = []; yield whole; }
        } else if (line.startsWith(":")) yield null;
        else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Trouble) throw error;
    throw new Trouble(["broken"]);
  } finally {
    reader.cancel().catch(() => {});
  }
}
