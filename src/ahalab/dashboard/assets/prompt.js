// One prompt in several stages: what became of the same question.

import { h, pieces, replace, title } from "./dom.js";
import { ask, get, go, link } from "./state.js";
import { texts } from "./samples.js";
import { counted, number, whole } from "./words.js";

let drawn = "";

export function open(main) { drawn = ""; main.append(h("h1", null, "One prompt across stages"), h("div", { id: "prompt-tools" }), h("div", { id: "prompt" }, h("p", { class: "intro" }, "reading…"))); }

export async function draw(main, run, { signal }) {
  title("One prompt");
  const prompt = get("prompt"), sample = get("sample", "0");
  const { data, changed } = await ask("prompt", { run, prompt, sample }, signal);
  const place = `${run} ${prompt} ${sample}`;
  if (!changed && drawn === place) return;
  if (drawn !== place) tools(data);
  drawn = place;
  const note = data.index.share < 1 ? h("p", { class: "under" }, `samples indexed ${Math.floor(100 * data.index.share)} %; more may come`) : null;
  replace(document.getElementById("prompt"), note, prompt ? compared(run, data) : suggested(run, data));
}

function tools(data) {
  const submit = (event) => { event.preventDefault(); const values = new FormData(event.currentTarget); go(link({ prompt: String(values.get("prompt")).trim(), sample: String(values.get("sample")).trim() })); };
  replace(document.getElementById("prompt-tools"), h("form", { class: "card", onsubmit: submit, role: "search", "aria-label": "Choose a prompt" }, h("div", { class: "filters" },
    h("div", { class: "wide" }, h("label", { for: "prompt-id" }, "Prompt id"), h("input", { id: "prompt-id", name: "prompt", value: data.prompt_id })),
    h("div", null, h("label", { for: "prompt-sample" }, "Sample number"), h("input", { id: "prompt-sample", name: "sample", inputmode: "numeric", pattern: "[0-9]*", value: get("sample", "0") })),
    h("div", { class: "row wide" }, h("button", { class: "main", type: "submit" }, "Compare"), data.prompt_id && h("a", { class: "button", href: link({ prompt: null, sample: null }) }, "Other prompts")))));
}

function suggested(run, data) {
  if (!data.suggested.length) return h("div", { class: "empty" }, h("p", null, data.index.share < 1 ? "Looking for prompts that several stages have…" : "No prompt was found that several stages of this run have."));
  return [h("h2", null, "Prompts that several stages have"), h("ul", { class: "plain" }, data.suggested.map((one, i) => h("li", { class: "card" },
    h("a", { href: link({ view: "prompt", run, prompt: one.prompt_id }, ""), "data-key": `prompt-${i}` }, pieces(one.question).length ? pieces(one.question) : one.prompt_id), h("p", { class: "under" }, `in ${counted(one.stages, "stage", "stages")}`))))];
}

function compared(run, data) {
  if (!data.stages.length) return h("div", { class: "empty" }, h("p", null, "No stage of this run has a sample of that prompt."));
  const first = data.stages.flatMap((stage) => stage.shown)[0];
  return [first && [h("h2", null, "The question"), h("div", { class: "question-text" }, pieces(first.question)), first.gold && h("p", { class: "under" }, `Gold answer: ${first.gold}`)],
    h("h2", null, `In ${counted(data.stages.length, "stage", "stages")}`), h("div", { class: "compare" }, data.stages.map((stage) => column(run, data, stage)))];
}

function column(run, data, stage) {
  const verdict = stage.graded ? `${whole(stage.right)} of ${whole(stage.graded)} right` : "not graded";
  return h("article", { class: "card", "aria-label": stage.stage }, h("h3", null, stage.stage), h("p", { class: "under" }, `${counted(stage.samples, "sample", "samples")}, ${verdict}`),
    h("ul", { class: "dots", "aria-label": `Samples of ${stage.stage}` }, stage.listed.map((one, i) => h("li", null, h("a", { class: one.verdict, href: link({ view: "samples", run, prompt: data.prompt_id, stage: stage.stage, key: one.key }, ""), "data-key": one.key, title: `step ${one.step}`, "aria-label": `Sample ${i + 1}, step ${one.step}, ${one.verdict}` }, one.verdict === "right" ? "✔" : one.verdict === "wrong" ? "✘" : "·")))),
    stage.shown.map((one) => h("div", null, h("p", { class: "under" }, h("span", { class: one.verdict }, one.verdict === "ungraded" ? "not graded" : one.verdict), h("span", null, `step ${whole(one.step)}`), one.total === null ? null : h("span", null, `reward ${number(one.total)}`), h("span", null, counted(one.words, "reflective word", "reflective words"))), texts(one, "short"))));
}
