// Curves of one or several trainings over each other.

import { chart } from "./chart.js";
import { h, replace, say, title } from "./dom.js";
import { all, ask, get, go, link } from "./state.js";
import { counted, whole } from "./words.js";

const USUAL = ["reward", "accuracy", "format", "thinking_tokens", "reflective_per_answer", "entropy", "language", "effective_share"];
let last = "", toolsOf = "", drawn = null;

export function open(main) {
  last = toolsOf = "";
  main.append(h("h1", null, "Curves"), h("p", { class: "intro", id: "curves-intro" }, "reading…"), h("div", { id: "curves-tools" }), h("div", { id: "curves-notes" }), h("div", { class: "grid", id: "curves-grid" }));
}

export async function draw(main, run, { runs, fresh, signal }) {
  title("Curves");
  const series = chosen(runs.runs, run);
  const wanted = all("m");
  const answers = await Promise.all(series.map(async (one) => {
    try {
      const first = await ask("curves", { run: one.run, stage: one.stage, names: (wanted.length ? wanted : [...USUAL, "loss"]).join(",") }, signal);
      return { ...one, ...first, label: labelOf(runs.runs, one.run) };
    } catch (error) {
      if (!error.said) throw error;
      return { ...one, label: labelOf(runs.runs, one.run), changed: true, data: { available: [], curves: [], updates: 0, trouble: error.message, truncated: 0 } };
    }
  }));
  const now = `${link({ smooth: null })} ${runs.runs.map((one) => `${one.id}:${one.training}`)}`;
  if (!fresh && now === last && !answers.some((one) => one.changed)) return;
  last = now;
  const labels = new Map(answers.flatMap((one) => one.data.available.map(({ name, label }) => [name, label])));
  const names = wanted.length ? wanted : usual(answers);
  drawn = [answers, names, labels];
  // New steps must not take a slider out of a hand.
  const choice = JSON.stringify([now, series, names, [...labels.keys()]]);
  if (choice !== toolsOf) { toolsOf = choice; tools(runs.runs, run, series, names, labels); }
  notes(answers);
  figures(...drawn);
}

// "run/stage"; without a choice the run's training at work, else its last one with rewards, else its last.
function chosen(runs, run) {
  const asked = all("series").map((text) => ({ run: text.slice(0, text.lastIndexOf("/")), stage: text.slice(text.lastIndexOf("/") + 1) }));
  if (asked.length) return asked.slice(0, 12);
  const training = (runs.find((one) => one.id === run) || { training: [] }).training;
  return training.length ? [{ run, stage: training.includes("zero") ? "zero" : training[training.length - 1] }] : [];
}

function usual(answers) {
  const there = new Set(answers.flatMap((one) => one.data.curves.filter((curve) => !flat(curve)).map((curve) => curve.name)));
  const found = USUAL.filter((name) => there.has(name));
  return found.length ? found : ["loss"];
}

function flat(curve) { return curve.values.length > 1 && curve.values.every((value) => value === curve.values[0]); }

// As the server says it: an address could hold anything.
function labelOf(runs, id) { return (runs.find((one) => one.id === id) || { label: "unknown run" }).label; }

function name({ label, stage }, several) { return several ? `${label} / ${stage}` : stage; }

function percent(value) { return value ? ` ${value} %` : " off"; }

function tools(runs, run, series, names, labels) {
  const picked = new Set(series.map((one) => `${one.run}/${one.stage}`));
  const choose = (key, on) => { on ? picked.add(key) : picked.delete(key); go(link({ series: [...picked] })); };
  const box = (one) => h("div", { class: "choices" }, one.training.map((stage) => {
    const key = `${one.id}/${stage}`;
    return h("label", null, h("input", { type: "checkbox", checked: picked.has(key), "data-key": `series-${key}`, "aria-label": `${one.label}: ${stage}`, onchange: (event) => choose(key, event.target.checked) }), stage);
  }));
  const here = runs.filter((one) => one.id === run), others = runs.filter((one) => one.id !== run && one.training.length);
  const metrics = [...labels];
  const shown = new Set(names);
  const metric = ([key, label]) => h("label", null, h("input", {
    type: "checkbox", checked: shown.has(key), "data-key": `metric-${key}`,
    onchange: (event) => { event.target.checked ? shown.add(key) : shown.delete(key); go(link({ m: [...labels.keys()].filter((one) => shown.has(one)) })); },
  }), label);
  const value = Number(get("smooth", "20"));
  const range = h("span", { class: "range" }, percent(value));
  const slider = h("input", { type: "range", min: 0, max: 100, step: 5, value, id: "smooth", "data-key": "smooth", "aria-valuetext": percent(value), oninput: () => {
    // Only the figures are drawn again: a slider that was replaced could not be dragged on.
    history.replaceState(null, "", link({ smooth: slider.value }));
    range.textContent = percent(Number(slider.value));
    slider.setAttribute("aria-valuetext", range.textContent);
    figures(...drawn);
  } });
  replace(document.getElementById("curves-tools"),
    h("div", { class: "tools" },
      h("fieldset", null, h("legend", null, `Trainings of ${labelOf(runs, run)}`), here.map(box), here.every((one) => !one.training.length) && h("p", { class: "under" }, "none yet")),
      h("div", null, h("label", { for: "smooth" }, "Smoothing "), slider, range)),
    others.length > 0 && h("details", { "data-key": "other-runs" }, h("summary", null, `Compare with ${counted(others.length, "other run", "other runs")}`),
      others.map((one) => h("fieldset", null, h("legend", null, one.label), box(one)))),
    metrics.length > 0 && h("details", { "data-key": "metrics" }, h("summary", null, `Choose from ${metrics.length} curves`), h("fieldset", null, h("legend", { class: "unseen" }, "Curves shown"), h("div", { class: "choices" }, metrics.map(metric)))));
}

function notes(answers) {
  const said = [];
  for (const one of answers) {
    const who = `${one.label}, stage ${one.stage}`;
    if (one.data.trouble) said.push(`${who}: the metrics were read only in part. ${one.data.trouble}`);
    if (one.data.truncated) said.push(`${who}: a half-written last line was left out (a run at work, or a killed one).`);
    if (one.data.reading) said.push(`${who}: being read…`);
    else if (!one.data.available.length && !one.data.trouble) said.push(`${who}: no step has been written yet.`);
  }
  replace(document.getElementById("curves-notes"), said.length > 0 && h("div", { class: "note", role: "note" }, said.map((text) => h("p", null, text))));
}

function figures(answers, names, labels) {
  const runsSeen = new Set(answers.map((one) => one.run));
  const steps = Math.max(0, ...answers.map((one) => one.data.updates));
  const intro = document.getElementById("curves-intro");
  const text = answers.length ? `${answers.map((one) => name(one, true)).join(", ")}. ${counted(steps, "step", "steps")}; step 0 is the start of each training.` : "No training of this run has written a step yet.";
  if (intro.textContent !== text) {
    if (intro.textContent !== "reading…") say(`${whole(steps)} steps`);
    intro.textContent = text;
  }
  const made = [];
  for (const one of names) {
    const lines = answers.flatMap((answer) => answer.data.curves.filter((curve) => curve.name === one && curve.values.length).map((curve) => ({ ...curve, label: name(answer, runsSeen.size > 1) })));
    if (lines.length) made.push(chart({ id: one.replace(/[^\w]/g, "_"), heading: labels.get(one) || one, unit: lines[0].unit, lines, slider: Number(get("smooth", "20")) }));
  }
  replace(document.getElementById("curves-grid"), made.length ? made : h("div", { class: "empty" }, h("p", null, "Nothing to draw yet. Steps appear here as they are written.")));
}
