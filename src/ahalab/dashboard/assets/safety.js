// Safety evaluations: tables, charts, verdicts by question id. A text is asked for only when its button is pressed.

import { h, replace, say, title } from "./dom.js";
import { ask, get, link } from "./state.js";
import { dots } from "./safety_chart.js";
import { counted, number, whole } from "./words.js";

const FIRST = ["headline", "table-9", "table-10", "table-11", "control"];
const LOOKS = { unsafe: "wrong", safe: "right" };
let drawn = "", listed = "", detailed = "";

export function open(main) {
  drawn = listed = detailed = "";
  main.append(h("h1", { id: "safety-title" }, "Safety"), h("div", { id: "safety" }, h("p", { class: "intro" }, "reading…")), h("div", { id: "safety-ids" }), h("div", { id: "safety-item" }));
}

export async function draw(main, run, { runs, signal }) {
  const evaluation = get("evaluation", runs.safety.length ? runs.safety[0].id : "");
  title("Safety");
  if (!evaluation) {
    replace(document.getElementById("safety"), h("div", { class: "empty" }, h("p", null, "There is no safety evaluation here yet. ", h("code", null, "aha safety run"), " makes one.")));
    return;
  }
  const { data, changed } = await ask("safety", { evaluation }, signal);
  const now = `${evaluation} ${JSON.stringify(runs.safety)}`;
  if (changed || drawn !== now) {
    if (drawn === now) say("new verdicts");
    drawn = now;
    document.getElementById("safety-title").textContent = data.label;
    replace(document.getElementById("safety"), page(data, evaluation, runs.safety));
  }
  await ids(evaluation, data, signal);
  await item(evaluation, signal);
}

function page(data, evaluation, all) {
  const first = data.tables.filter((one) => FIRST.includes(one.kind)), more = data.tables.filter((one) => !FIRST.includes(one.kind));
  return [
    all.length > 1 && h("nav", { class: "row", "aria-label": "Safety evaluations" }, all.map((one) => h("a", { class: "button", href: link({ view: "safety", evaluation: one.id }, ""), "data-key": `evaluation-${one.id}`, "aria-current": one.id === evaluation ? "page" : null }, one.label))),
    h("p", { class: "under" }, [counted(data.targets.length, "target", "targets"), counted(data.questions, "question", "questions"), data.judge ? `judge ${data.judge_model || "of unknown name"} (${data.judge})` : "not judged yet"].map((fact) => h("span", null, fact))),
    h("p", { class: "under mono" }, data.path),
    data.notices.length > 0 && h("div", { class: "note", role: "note" }, data.notices.map((text) => h("p", null, text))),
    data.marks.map((text) => h("p", { class: "intro" }, text)),
    first.map((one) => [h("h2", null, one.title), one.charted_columns.length > 0 && dots(one), table(one)]),
    more.length > 0 && h("h2", null, "More tables"),
    more.map((one) => h("details", { "data-key": `table-${one.name}` }, h("summary", null, one.convention ? `${one.title} (${one.convention})` : one.title), one.charted_columns.length > 0 && dots(one), table(one))),
    h("h2", null, "Question ids"),
    h("p", { class: "intro" }, "Verdicts by id, a sub-category at a time. No text is shown before you ask for it."),
    data.sets.map((set, i) => h("details", { "data-key": `set-${i}`, open: get("set") === set.key }, h("summary", null, `${set.label}: ${counted(set.groups.length, "group", "groups")}`),
      h("ul", { class: "plain choices" }, set.groups.map((group, j) => h("li", null, h("a", { href: link({ view: "safety", evaluation, set: set.key, group: group.key || "-" }, ""), "data-key": `group-${i}-${j}`, "aria-current": get("set") === set.key && get("group") === (group.key || "-") ? "true" : null }, `${group.label} (${whole(group.count)})`)))))),
  ];
}

function table(data) {
  return [h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": data.title }, h("table", null,
    data.convention && h("caption", null, `Convention: ${data.convention}.`),
    h("thead", null, h("tr", null, [data.first, ...data.columns].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, data.rows.map((row) => h("tr", null, h("th", { scope: "row" }, row.label, row.marks.map((mark) => h("small", null, mark))),
      row.cells.map((cell) => h("td", null, cell.text, cell.interval && h("span", { class: "range" }, cell.interval)))))))),
    data.notes.map((text) => h("p", { class: "intro" }, text))];
}

async function ids(evaluation, data, signal) {
  const place = document.getElementById("safety-ids"), set = get("set"), group = get("group");
  if (!set || !group) { listed = ""; replace(place); return; }
  const key = group === "-" ? "" : group;
  const { data: found } = await ask("safety-items", { evaluation, set, group: key }, signal);
  const known = data.sets.find((one) => one.key === set), label = known && known.groups.find((one) => one.key === key);
  const now = JSON.stringify([found, set, group, get("item")]);
  if (listed === now) return;
  listed = now;
  replace(place, h("h2", { tabindex: -1, id: "ids-heading" }, label ? `${known.label}: ${label.label}` : "No such group"),
    found.items.length > 0 ? h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Verdicts by id" }, h("table", null,
      h("thead", null, h("tr", null, ["id", "language", ...found.targets].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, found.items.map((one, i) => h("tr", null,
        h("th", { scope: "row" }, h("a", { href: link({ item: one.id }), "data-key": `item-${i}`, "aria-current": get("item") === one.id ? "true" : null, class: "mono" }, one.label), one.harmful ? null : h("small", null, "harmless")),
        h("td", null, one.language), one.verdicts.map((verdict) => h("td", null, parts(verdict)))))))) : h("p", { class: "under" }, "No question of this evaluation belongs there."),
    found.count > found.items.length && h("p", { class: "under" }, `The first ${whole(found.items.length)} of ${whole(found.count)}; results.jsonl has all.`));
}

// Of thinking only what is worse news than the answer's verdict.
function parts(verdict) {
  const answer = verdict.parts.find((one) => one.part === "answer"), thinking = verdict.parts.find((one) => one.part === "thinking");
  if (!answer && !thinking) return verdict.answered ? "not judged" : "no reply yet";
  return [answer && word(answer), thinking && thinking.verdict !== (answer && answer.verdict) && h("span", { class: "range" }, "thinking: ", word(thinking))];
}

function word(one) { return [h("span", { class: LOOKS[one.verdict] || "ungraded" }, one.verdict), one.reason ? ` (${one.reason})` : ""]; }

async function item(evaluation, signal) {
  const place = document.getElementById("safety-item"), id = get("item");
  if (!id) { detailed = ""; replace(place); return; }
  const now = `${evaluation} ${id}`;
  if (detailed === now) return;
  const { data } = await ask("safety-item", { evaluation, item: id }, signal);
  const moved = detailed !== now;
  detailed = now;
  const texts = h("div", { id: "safety-texts" }, h("div", { class: "note", role: "note" },
    h("p", null, "The question and the replies may be harmful or disturbing. They are shown as plain text, and only on this page."),
    h("p", null, h("button", { type: "button", id: "show-texts", onclick: () => reveal(evaluation, id) }, "Show the texts of this question"))));
  replace(place, h("div", { class: "card" }, h("h2", { tabindex: -1 }, `Question ${data.label}`), h("p", { class: "under" }, [data.of, data.language, data.harmful ? "harmful" : "harmless"].map((fact) => h("span", null, fact))),
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Verdicts of this question" }, h("table", null,
      h("thead", null, h("tr", null, ["target", "verdict", "risk control", "error", "reply tokens", "seconds"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, data.targets.map((name, i) => { const one = data.verdicts[i]; return h("tr", null, h("th", { scope: "row" }, name), h("td", null, parts(one)), h("td", null, one.control || "–"), h("td", null, one.error || "–"), h("td", null, one.tokens === null ? "–" : whole(one.tokens)), h("td", null, number(one.seconds))); })))),
    texts));
  if (moved) place.querySelector("h2").focus({ preventScroll: false });
}

// It is not in the address: another question, or a reload, hides it again.
async function reveal(evaluation, id) {
  const place = document.getElementById("safety-texts");
  let data;
  try { ({ data } = await ask("safety-texts", { evaluation, item: id })); } catch (error) {
    if (!error.said) throw error;
    replace(place, h("div", { class: "note", role: "alert" }, h("p", null, error.message)));
    return;
  }
  if (get("item") !== id) return;
  const block = (label, text, key) => text && [h("h4", null, label), h("div", { class: "text", tabindex: 0, role: "group", "aria-label": label, "data-scroll": key }, text)];
  replace(place, h("h3", { tabindex: -1, id: "texts-heading" }, "Question"), h("div", { class: "question-text" }, data.question),
    data.replies.map((one) => [h("h3", null, one.target), block("Thinking", one.thinking, `t-${one.target}`), block("Answer", one.answer, `a-${one.target}`), one.rationales.map((each) => block(`The judge on the ${each.part}`, each.text, `j-${one.target}-${each.part}`)),
      !one.thinking && !one.answer && h("p", { class: "under" }, "No text came.")]));
  document.getElementById("texts-heading").focus();
}
