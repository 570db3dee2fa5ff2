// The stage table, and the evaluations side by side.

import { h, replace, title } from "./dom.js";
import { ask } from "./state.js";
import { number } from "./words.js";

const LOOKS = { holds: "right", "does not": "wrong" };
let drawn = "";

export function open(main) { drawn = ""; main.append(h("h1", null, "Stage table"), h("div", { id: "tables" }, h("p", { class: "intro" }, "reading…"))); }

export async function draw(main, run, { signal }) {
  title("Stage table");
  const { data, changed } = await ask("tables", { run }, signal);
  if (!changed && drawn === run) return;
  drawn = run;
  const { columns, lines } = data.evaluations;
  replace(document.getElementById("tables"),
    data.trouble.length > 0 && h("div", { class: "note", role: "note" }, data.trouble.map((text) => h("p", null, text))),
    data.tables.map((table) => [stageTable(table), table.orderings.length > 0 && orderings(table)]),
    columns.length > 0 && [h("h2", null, "Evaluations"), scroll("Evaluations", h("table", null,
      h("caption", null, "Held-out figures with 95 % intervals. A column is one evaluate stage; below its name, whose weights."),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "figure"), columns.map((one) => h("th", { scope: "col" }, one.stage, one.of ? h("span", { class: "of" }, `of ${one.of}`) : null)))),
      h("tbody", null, lines.map((line) => h("tr", null, h("th", { scope: "row" }, line.label), line.cells.map((value) => cell(value, number)))))))],
    !data.tables.length && !columns.length && h("div", { class: "empty" }, h("p", null, "No table stage and no evaluation of this run has finished yet.")));
}

function stageTable(table) {
  return [h("h2", null, table.stage), scroll(`Stage table ${table.stage}`, h("table", null, h("caption", null, table.about),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "points of 100"), table.rows.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, "prompts"))),
    h("tbody", null, table.lines.map((line) => h("tr", null, h("th", { scope: "row" }, line.label, line.meaning && h("small", null, line.meaning)), line.cells.map((value) => cell(value, (one) => one.toFixed(1))), h("td", null, line.prompts))))))];
}

function orderings(table) {
  return [h("h2", null, "The paper's orderings"), h("p", { class: "intro" }, "Each is judged by the 95 % interval of the paired difference between rows, in points. Undecided: the interval allows both."),
    scroll("The paper's orderings", h("table", { class: "orderings" },
      h("thead", null, h("tr", null, ["Ordering", "Verdict", "Decided by", "The paper"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, table.orderings.map((one) => h("tr", null, h("th", { scope: "row" }, one.sentence), h("td", { class: LOOKS[one.verdict] || "ungraded" }, one.verdict), h("td", null, one.why), h("td", null, one.source))))))];
}

function cell(value, words) {
  if (!value) return h("td", null, "–");
  return h("td", null, words(value.value), value.low === null || value.high === null ? null : h("span", { class: "range" }, ` ${words(value.low)} to ${words(value.high)}`));
}

function scroll(label, content) { return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, content); }
