// Everything a person chose is in the address, so that a link shows the same again; and the data, asked with ETags.

export function get(key, otherwise = "") { return new URLSearchParams(location.search).get(key) || otherwise; }
export function all(key) { return new URLSearchParams(location.search).getAll(key); }

// The address with some keys changed; a list gives a key several times, null and "" take it away.
export function link(changes, from = location.search) {
  const query = new URLSearchParams(from);
  for (const [key, value] of Object.entries(changes)) {
    query.delete(key);
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined && one !== "") query.append(key, one);
  }
  return `?${query}`;
}

let listener = () => {};
export function onChange(call) { listener = call; }

export function go(address, { quietly = false } = {}) {
  if (address === location.search) return;
  history[quietly ? "replaceState" : "pushState"](null, "", address);
  listener();
}

const MEMORY = new Map();
const REMEMBERED = 60;

// The answer to a question; `changed` is false where it is the same as at the last time.
export async function ask(name, query, signal) {
  const address = `api/${name}?${new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined))}`;
  const known = MEMORY.get(address);
  const answer = await fetch(address, { signal, headers: known ? { "If-None-Match": known.tag } : {}, cache: "no-store" });
  if (answer.status === 304 && known) return { data: known.data, changed: false };
  const data = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(data.error || `The page got no answer (${answer.status}).`), { said: true });
  MEMORY.delete(address);
  MEMORY.set(address, { tag: answer.headers.get("ETag"), data });
  if (MEMORY.size > REMEMBERED) MEMORY.delete(MEMORY.keys().next().value);
  return { data, changed: true };
}
