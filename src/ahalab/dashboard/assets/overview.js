// The stage tree: what each stage is, how far, and what came out.

import { h, replace, say, title } from "./dom.js";
import { ask, link } from "./state.js";
import { clock, counted, figure, number, plain, whole } from "./words.js";

const STATES = { done: "✔ done", reused: "✔ reused", running: "▶ running", interrupted: "‖ interrupted", outdated: "↻ outdated", waiting: "· waiting", broken: "✘ unreadable" };
let states = new Map(), drawn = "";

export function open(main) { states = new Map(); drawn = ""; main.append(h("div", { id: "overview" }, h("h1", null, "Stages"), h("p", { class: "intro" }, "reading…"))); }

export async function draw(main, run, { signal }) {
  const { data, changed } = await ask("run", { run }, signal);
  if (!changed && drawn === run) return;
  drawn = run;
  title(data.name);
  announce(data);
  const stages = new Map(data.stages.map((one) => [one.name, one]));
  const done = data.stages.filter((one) => one.state === "done" || one.state === "reused").length;
  const facts = [`base ${data.base || "unknown"}`, data.seed === null ? null : `seed ${data.seed}`, `${done} of ${counted(data.stages.length, "stage", "stages")} done`,
    data.at_work ? "at work" : "not at work", clock(data.stages.reduce((sum, one) => sum + one.seconds, 0))];
  replace(document.getElementById("overview"),
    h("h1", null, data.name), h("p", { class: "under" }, facts.filter(Boolean).map((fact) => h("span", null, fact))), h("p", { class: "under mono" }, data.path),
    data.notices.length > 0 && h("div", { class: "note", role: "note" }, data.notices.map((text) => h("p", null, text))),
    index(data.index),
    h("h2", null, "Stages"),
    data.tree.length ? h("ul", { class: "tree" }, data.tree.map((node) => branch(node, stages, run)))
      : h("div", { class: "empty" }, h("p", null, "Nothing has begun in this folder yet. What a run writes appears here by itself.")));
}

function index({ share, bytes, trouble }) {
  if (trouble) return h("div", { class: "note", role: "note" }, h("p", null, trouble));
  if (share >= 1) return null;
  return h("p", { class: "under" }, h("label", { for: "indexed" }, `samples indexed ${Math.floor(100 * share)} % of ${whole(bytes / 1e6)} MB `), h("progress", { id: "indexed", max: 1, value: share }));
}

function branch(node, stages, run) {
  const stage = stages.get(node.name);
  return h("li", null, stage ? card(stage, node, run) : h("span", { class: "base" }, node.label),
    node.below.length > 0 && h("ul", null, node.below.map((one) => branch(one, stages, run))));
}

function card(stage, node, run) {
  const going = stage.state === "running" || stage.state === "interrupted";
  const progress = going && stage.total ? h("progress", { max: stage.total, value: stage.done, "aria-label": `${stage.name}: ${stage.done} of ${stage.total} ${plain(stage.unit || "")}` }) : null;
  const more = [node.also.length ? `also reads ${node.also.join(", ")}` : null, stage.note ? (stage.state === "reused" ? `reused from ${stage.note}` : stage.note) : null].filter(Boolean);
  return h("article", { class: "card stage", "aria-label": stage.name },
    h("h3", null, stage.name, h("small", null, plain(stage.kind))),
    h("div", null, h("span", { class: `state ${stage.state}` }, STATES[stage.state] || stage.state), going && stage.total ? ` ${whole(stage.done)} of ${whole(stage.total)} ${stage.unit}` : "",
      stage.seconds ? h("span", { class: "range" }, ` ${clock(stage.seconds)}`) : null, progress),
    h("dl", { class: "figures" }, stage.figures.map(({ name, value, low, high }) =>
      h("div", null, h("dt", null, plain(name)), h("dd", null, figure(value), low === null || high === null ? null : h("span", { class: "range" }, ` ${number(low)} to ${number(high)}`))))),
    h("div", { class: "links" },
      stage.has.metrics && h("a", { href: link({ view: "curves", run, series: `${run}/${stage.name}` }, ""), "data-key": `c-${stage.name}`, "aria-label": `Curves of ${stage.name}` }, "curves"),
      stage.has.samples && h("a", { href: link({ view: "samples", run, stage: stage.name }, ""), "data-key": `s-${stage.name}`, "aria-label": `Samples of ${stage.name}` }, "samples")),
    more.length > 0 && h("p", { class: "more" }, more.join("; ")), stage.warnings.map((text) => h("p", { class: "more warn" }, text)));
}

function announce(data) {
  const now = new Map(data.stages.map((one) => [one.name, one.state]));
  const news = [...now].filter(([name, state]) => states.has(name) && states.get(name) !== state).map(([name, state]) => `${name}: ${state}`);
  if (news.length) say(news.join(", "));
  states = now;
}
