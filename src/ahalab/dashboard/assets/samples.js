// The sample browser: filters in the address, pages of any number, one sample in full.

import { h, pieces, replace, say, title } from "./dom.js";
import { ask, get, go, link } from "./state.js";
import { counted, number, plain, whole } from "./words.js";

const FILTERS = ["stage", "from", "to", "domain", "verdict", "word", "min", "max", "q", "prompt"];
const PAGE = 25, ENOUGH = 2_000_000;
let facets = "", listed = "", detailed = "", counting = null, waiting = false, pending = false, edited = false;

export function open(main) {
  facets = listed = detailed = "";
  counting = null;
  waiting = pending = edited = false;
  main.append(h("h1", null, "Samples"), h("p", { class: "intro", id: "samples-intro" }, "Every sample of the run as the model wrote it. Reflective words are ", h("mark", null, "marked"), "; characters that would be invisible appear as codes."),
    h("div", { id: "filters" }), h("p", { class: "under", id: "found", role: "status" }, "reading…"),
    h("div", { class: "browser" }, h("section", { "aria-label": "Samples found" }, h("div", { id: "list" })), h("section", { class: "detail", "aria-label": "Sample", id: "detail" })));
}

export async function draw(main, run, { signal }) {
  title("Samples");
  const { data, changed } = await ask("facets", { run }, signal);
  const chosen = JSON.stringify([run, ...[...FILTERS, "order"].map((key) => get(key))]);
  // News of the index must not take away what a person is typing.
  if (facets !== chosen || (changed && !edited)) { facets = chosen; edited = false; form(run, data); }
  const query = Object.fromEntries(FILTERS.map((key) => [key, get(key)]));
  query.order = get("order");
  const place = JSON.stringify([run, query, get("after"), get("scan")]);
  // A page that is not full may get new samples; a full one stays what it was.
  if (place !== listed || waiting || pending) await list(run, query, place, data, signal);
  await detail(run, signal);
}

function choice(key, label, options, any = "any") {
  const id = `filter-${key}`, chosen = get(key);
  const known = options.some(([value]) => value === chosen) || !chosen ? options : [...options, [chosen, chosen]];
  return h("div", null, h("label", { for: id }, label), h("select", { id, name: key }, any && h("option", { value: "" }, any), known.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
}

function field(key, label, props) { return h("div", null, h("label", { for: `filter-${key}` }, label), h("input", { id: `filter-${key}`, name: key, value: get(key), ...props })); }

function form(run, data) {
  const same = (list) => list.map((one) => [one, one]);
  const steps = data.stages.reduce((most, one) => Math.max(most, one.step_max || 0), 0);
  const empty = Object.fromEntries([...FILTERS, "after", "back", "key", "scan", "order"].map((key) => [key, null]));
  const submit = (event) => {
    event.preventDefault();
    const values = new FormData(event.currentTarget);
    go(link({ ...empty, prompt: get("prompt"), ...Object.fromEntries([...values].map(([key, value]) => [key, String(value).trim()])) }));
  };
  const jump = () => {
    const word = document.getElementById("jump-word").value;
    go(link({ ...empty, stage: get("stage"), verdict: "right", word, key: "first" }));
  };
  const broken = data.stages.reduce((sum, one) => sum + (one.broken || 0), 0);
  replace(document.getElementById("filters"),
    h("form", { class: "card", onsubmit: submit, oninput: () => { edited = true; }, role: "search", "aria-label": "Filter samples" },
      h("div", { class: "filters" },
        choice("stage", "Stage", data.stages.map((one) => [one.stage, `${one.stage} (${whole(one.samples)})`]), "all stages"),
        choice("verdict", "Verdict", [["right", "right"], ["wrong", "wrong"], ["ungraded", "not graded"]]),
        choice("domain", "Domain", same(data.domains)), choice("word", "Reflective word", same(data.words)),
        field("from", `Step from (0 to ${whole(steps)})`, { inputmode: "numeric", pattern: "[0-9]*" }), field("to", "Step to", { inputmode: "numeric", pattern: "[0-9]*" }),
        field("min", "Reward at least", { inputmode: "decimal", pattern: "[+\\-]?[0-9]*[.]?[0-9]*" }), field("max", "Reward at most", { inputmode: "decimal", pattern: "[+\\-]?[0-9]*[.]?[0-9]*" }),
        h("div", { class: "wide" }, h("label", { for: "filter-q" }, "Text in question, thinking or answer"), h("input", { id: "filter-q", name: "q", type: "search", value: get("q") })),
        choice("order", "Order", [["newest", "newest first"]], "oldest first")),
      h("div", { class: "row" }, h("button", { class: "main", type: "submit", "data-key": "apply" }, "Show"), h("a", { class: "button", href: link(empty), "data-key": "clear" }, "Clear filters"),
        h("span", { class: "row" }, h("label", { for: "jump-word" }, "First right answer with"), h("select", { id: "jump-word" }, (data.words.length ? data.words : ["wait"]).map((word) => h("option", { value: word, selected: word === get("word", "wait") }, word))),
          h("button", { type: "button", onclick: jump, "data-key": "jump" }, "Go there"))),
      get("prompt") && h("p", { class: "under" }, "Only the samples of one prompt. ", h("a", { href: link({ prompt: null, after: null, back: null }) }, "all prompts"))),
    broken > 0 && h("p", { class: "note" }, `${counted(broken, "row", "rows")} could not be read and ${broken === 1 ? "is" : "are"} left out; the stages' page says which.`),
    data.index.trouble && h("p", { class: "note" }, data.index.trouble));
}

async function list(run, query, place, data, signal) {
  pending = true;
  await search(run, query, place, data, signal);
  pending = false;
}

async function search(run, query, place, data, signal) {
  const found = document.getElementById("found");
  const first = place !== listed;
  if (first) { found.textContent = "searching…"; counting = null; }
  const rows = [];
  let after = get("after"), looked = 0, next = null, trouble = null, index = data.index;
  const enough = ENOUGH * Number(get("scan", "1"));
  do {
    const { data: part } = await ask("samples", { run, ...query, after, limit: PAGE - rows.length }, signal);
    rows.push(...part.samples);
    looked += part.looked; next = part.next; trouble = part.trouble || trouble; index = part.index;
    after = next;
    if (next && rows.length < PAGE && first) found.textContent = `${counted(rows.length, "sample", "samples")} found, looked through ${whole(looked)}…`;
  } while (next && rows.length < PAGE && looked < enough);
  const same = !first && document.getElementById("list").dataset.rows === rows.map((one) => one.key).join();
  listed = place;
  waiting = rows.length < PAGE;
  if (!same) { page(run, rows, next, looked, enough); counting = null; }
  if (get("key") === "first") {
    if (rows.length) { listed = ""; go(link({ key: rows[0].key }), { quietly: true }); return; }
    if (first && index.share >= 1) say("There is no such sample.");
  }
  const position = (get("back") ? get("back").split(",").length : 0) * PAGE;
  const where = rows.length ? `${whole(position + 1)} to ${whole(position + rows.length)}` : index.share < 1 || !index.looked ? "None yet" : "None";
  const indexed = index.share < 1 ? ` · samples indexed ${Math.floor(100 * index.share)} %` : "";
  const stopped = next && rows.length < PAGE ? ` · stopped after looking through ${whole(looked)}` : "";
  const line = (total) => `${where}${total === null ? "" : ` of ${total}`}${stopped}${indexed}${trouble ? ` · ${trouble}` : ""}`;
  if (!rows.length) { found.textContent = line(null); return; }
  if (query.q) { found.textContent = next ? `${line(null)} · more behind` : line(null); return; }
  if (first || found.textContent === "searching…") found.textContent = line(null);
  if (counting === place && index.share >= 1) return;
  let total = 0, from = "";
  do {
    const { data: part } = await ask("count", { run, ...query, after: from }, signal);
    if (part.count === null) return;
    total += part.count; from = part.next;
    const text = line(from ? `more than ${whole(total)} (counting)` : whole(total));
    if (found.textContent !== text) found.textContent = text;
  } while (from);
  counting = place;
}

function page(run, rows, next, looked, enough) {
  const back = get("back") ? get("back").split(",") : [];
  const box = document.getElementById("list");
  box.dataset.rows = rows.map((one) => one.key).join();
  replace(box,
    rows.length ? h("ol", { class: "list" }, rows.map((row) => h("li", null, item(row)))) : h("div", { class: "empty" }, h("p", null, "No sample fits these filters.")),
    h("div", { class: "row" },
      back.length > 0 && h("a", { class: "button", rel: "prev", "data-key": "prev", href: link({ after: back[back.length - 1] === "0" ? null : back[back.length - 1], back: back.slice(0, -1).join(","), key: null }) }, "← Previous page"),
      next && rows.length >= PAGE && h("a", { class: "button", rel: "next", "data-key": "next", href: link({ after: next, back: [...back, get("after") || "0"].join(","), key: null }) }, "Next page →"),
      next && rows.length < PAGE && looked >= enough && h("a", { class: "button", "data-key": "on", href: link({ scan: Number(get("scan", "1")) + 4 }) }, "Search on")));
}

function item(row) {
  return h("a", { href: link({ key: row.key, whole: null }), "data-key": `row-${row.key}`, "aria-current": get("key") === row.key ? "true" : null },
    h("span", { class: "facts" }, h("span", { class: row.verdict }, row.verdict === "ungraded" ? "not graded" : row.verdict), h("span", null, `${row.stage}, step ${whole(row.step)}`), row.domain && h("span", null, row.domain),
      row.total !== null && h("span", null, `reward ${number(row.total)}`), row.words > 0 && h("span", null, counted(row.words, "reflective word", "reflective words"))),
    h("span", { class: "question" }, row.question || "(no question)"), h("span", { class: "excerpt" }, pieces(row.excerpt)));
}

async function detail(run, signal) {
  const key = get("key"), place = document.getElementById("detail"), wanted = `${run} ${key} ${get("whole")}`;
  if (wanted === detailed) return;
  for (const anchor of document.querySelectorAll("#list a[data-key^='row-']")) {
    if (anchor.dataset.key === `row-${key}`) anchor.setAttribute("aria-current", "true"); else anchor.removeAttribute("aria-current");
  }
  if (!key || key === "first") {
    detailed = wanted;
    replace(place, h("div", { class: "empty" }, h("p", null, key ? "Looking for it…" : "Choose a sample to read it in full.")));
    return;
  }
  try {
    const { data } = await ask("sample", { run, key, whole: get("whole") }, signal);
    const moved = detailed !== "" ;
    detailed = wanted;
    replace(place, h("div", { class: "card" }, sample(run, data)));
    if (moved) place.querySelector("h2").focus({ preventScroll: window.innerWidth > 980 });
  } catch (error) {
    if (!error.said) throw error;
    // It may be there again at the next look: a file that is being read anew.
    replace(place, h("div", { class: "note", role: "note" }, h("p", null, error.message)));
  }
}

function sample(run, data) {
  const text = data.thinking.length + data.reply.length;
  return [
    h("h2", { tabindex: -1 }, `Sample ${data.sample === null ? "" : data.sample} of ${data.stage}, step ${whole(data.step)}`),
    facts(data),
    h("h3", null, "Question"), h("div", { class: "question-text" }, pieces(data.question)),
    ...texts(data, "full"),
    data.cut && !get("whole") && h("p", null, h("a", { href: link({ whole: 1 }) }, `Show all ${whole(data.characters)} characters`)),
    text === 0 && h("p", { class: "under" }, "The sample has no text."),
    data.error && h("p", { class: "note" }, `The grader failed: ${data.error}`),
    rewards(data),
    h("p", { class: "under" }, h("a", { href: link({ view: "prompt", run, prompt: data.prompt_id, sample: data.sample || null }, "") }, "This prompt across stages"), " · ",
      h("a", { href: link({ view: "samples", run, prompt: data.prompt_id }, "") }, "All its samples")),
    h("p", { class: "under mono" }, data.prompt),
  ];
}

export function texts(data, level) {
  const heading = level === "full" ? "h3" : "h4";
  const block = (label, list, key) => list.length > 0 && [h(heading, null, label), h("div", { class: "text", tabindex: 0, role: "group", "aria-label": label, "data-scroll": `${key}-${data.key}` }, pieces(list))];
  return [block("Thinking", data.thinking, "t"), block(data.thinking.length ? "Answer" : "Text", data.reply, "a")];
}

function facts(data) {
  const words = Object.entries(data.counts).map(([word, count]) => (count > 1 ? `${word} × ${count}` : word)).join(", ");
  const pairs = [["Verdict", h("span", { class: data.verdict }, data.verdict === "ungraded" ? "not graded" : data.verdict)], ["Graded answer", data.answer || "none"], ["Gold answer", data.gold || "none"],
    ["Reward", data.total === null ? "none" : number(data.total)], ["Advantage", data.advantage === null ? null : number(data.advantage)], ["Tokens", data.tokens === null ? null : `${whole(data.tokens)}, ${whole(data.thinking_tokens || 0)} of thinking`],
    ["Format", data.well_formed === null ? null : data.well_formed ? "well formed" : data.fault || "broken"], ["Reflective words", words || "none"], ["Domain", [data.domain, data.level && `level ${data.level}`].filter(Boolean).join(", ")],
    ["Language", data.language ? `${data.language}${data.mixed ? ", mixed" : ""}` : null], ["Finish", data.finish || null]];
  return h("dl", { class: "facts-table" }, pairs.filter(([, value]) => value).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function rewards(data) {
  if (!data.reward.length) return null;
  return [h("h3", null, "Reward parts"), h("div", { class: "scroll" }, h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "part"), h("th", { scope: "col" }, "value"))),
    h("tbody", null, data.reward.map(({ name, value }) => h("tr", null, h("th", { scope: "row" }, plain(name)), h("td", null, value === null ? "does not apply" : number(value)))),
      h("tr", null, h("th", { scope: "row" }, h("strong", null, "total, as weighted")), h("td", null, h("strong", null, number(data.total)))))))];
}
