// One figure: lines over steps as SVG, read by mouse, by arrow keys and as a table.

import { h, s } from "./dom.js";
import { figure as shown, number, whole } from "./words.js";

const WIDTH = 620, HEIGHT = 260, LEFT = 58, RIGHT = 14, TOP = 10, BOTTOM = 34;
const TABLE_ROWS = 11;

// Mean over a window that shrinks towards the first value and is cut at the end, as in the report.
export function smooth(values, half) {
  if (half < 1) return values;
  const sums = [0];
  for (const value of values) sums.push(sums[sums.length - 1] + value);
  return values.map((value, i) => {
    const low = i - Math.min(half, i), high = Math.min(i + Math.min(half, i), values.length - 1);
    return (sums[high + 1] - sums[low]) / (high - low + 1);
  });
}

// Half the window for a slider at 0 to 100: at most a fifth of the curve.
export function halfWidth(points, slider) { return Math.round((points * slider) / 1000); }

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough) || 10 * power;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

function bounds(lines) {
  let low = Infinity, high = -Infinity, last = 1, first = Infinity;
  for (const line of lines) {
    for (const value of line.values) { low = Math.min(low, value); high = Math.max(high, value); }
    last = Math.max(last, line.steps[line.steps.length - 1]);
    first = Math.min(first, line.steps[0]);
  }
  if (low === high) { const pad = Math.abs(low) * 0.1 || 0.5; low -= pad; high += pad; }
  const room = (high - low) * 0.05;
  // A share, or a count, that comes near 0 is shown from 0.
  low = low >= 0 && low < 0.4 * high ? 0 : low - room;
  return { low, high: high + room, first: Number.isFinite(first) ? Math.min(first, last - 1) : 0, last };
}

// lines: [{label, steps, values}]; heading, unit; slider 0 to 100.
export function chart({ id, heading, unit, lines, slider }) {
  const { low, high, first, last } = bounds(lines);
  const x = (step) => LEFT + ((step - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const path = (steps, values) => steps.map((step, i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(values[i]).toFixed(1)}`).join("");
  const drawn = lines.map((line, i) => {
    const half = halfWidth(line.values.length, slider);
    return { ...line, half, soft: smooth(line.values, half), look: `c${(i % 6) + 1}${i >= 6 ? " dashed" : ""}` };
  });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" });
  for (const at of ticks(low, high, 4)) {
    svg.append(s("line", { class: "gridline", x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at) }));
    svg.append(s("text", { x: LEFT - 8, y: y(at) + 4, "text-anchor": "end" }, at === 0 ? "0" : Math.abs(at) >= 100 ? whole(at) : String(Number(at.toPrecision(3)))));
  }
  for (const at of ticks(first, last, 5).filter(Number.isInteger)) svg.append(s("text", { x: x(at), y: HEIGHT - 14, "text-anchor": "middle" }, whole(at)));
  svg.append(s("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
  svg.append(s("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, "step"));
  for (const line of drawn) {
    if (line.half > 0) svg.append(s("path", { class: `line raw ${line.look}`, d: path(line.steps, line.values) }));
    svg.append(s("path", { class: `line ${line.look}`, d: path(line.steps, line.soft) }));
    if (line.steps.length === 1) svg.append(s("circle", { class: `point ${line.look}`, cx: x(line.steps[0]), cy: y(line.values[0]), r: 4 }));
  }
  const cursor = s("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  svg.append(cursor);
  const tip = h("div", { class: "tip", hidden: true, role: "status" });
  const steps = [...new Set(drawn.flatMap((line) => line.steps))].sort((a, b) => a - b);
  let place = -1;

  function read(at) {
    place = Math.max(0, Math.min(steps.length - 1, at));
    const step = steps[place];
    cursor.setAttribute("x1", x(step)); cursor.setAttribute("x2", x(step)); cursor.setAttribute("visibility", "visible");
    tip.hidden = false;
    tip.replaceChildren(h("p", null, h("strong", null, `step ${whole(step)}`)), ...drawn.map((line) => {
      const i = nearest(line.steps, step);
      const soft = line.half > 0 ? ` (mean ${number(line.soft[i])})` : "";
      return h("p", null, h("i", { class: line.look }), lines.length > 1 ? `${line.label}: ` : "", `${number(line.values[i])}${soft}`);
    }));
    const right = x(step) > WIDTH / 2;
    tip.style.left = right ? "auto" : `${((x(step) + 12) / WIDTH) * 100}%`;
    tip.style.right = right ? `${((WIDTH - x(step) + 12) / WIDTH) * 100}%` : "auto";
  }
  function hide() { cursor.setAttribute("visibility", "hidden"); tip.hidden = true; }
  function point(event) {
    const box = svg.getBoundingClientRect();
    const step = first + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (last - first);
    read(nearest(steps, step));
  }
  function key(event) {
    const far = Math.max(1, Math.round(steps.length / 10));
    const at = { ArrowLeft: place - 1, ArrowRight: place + 1, PageUp: place + far, PageDown: place - far, Home: 0, End: steps.length - 1 }[event.key];
    if (event.key === "Escape") hide();
    if (at === undefined) return;
    event.preventDefault();
    read(at);
  }
  const summary = drawn.map((line) => `${line.label}: ${number(line.values[0])} at step ${whole(line.steps[0])}, ${number(line.values[line.values.length - 1])} at step ${whole(line.steps[line.steps.length - 1])}`).join("; ");
  const plot = h("div", {
    class: "plot", tabindex: 0, role: "group", "data-key": `plot-${id}`, "aria-label": `${heading}. ${summary}. Arrow keys read single steps.`,
    onpointermove: point, onpointerleave: hide, onkeydown: key, onblur: hide, onfocus: () => { if (plot.matches(":focus-visible")) read(steps.length - 1); },
  }, svg, tip);
  return h("figure", { id: `figure-${id}`, "aria-labelledby": `heading-${id}` },
    h("h2", { id: `heading-${id}`, class: "figure-heading" }, heading), h("p", { class: "unit" }, unit || " "),
    lines.length > 1 && h("ul", { class: "key" }, drawn.map((line) => h("li", { class: line.look }, h("i", { "aria-hidden": "true" }), line.label))),
    plot, table(id, heading, drawn, steps));
}

function table(id, heading, drawn, steps) {
  const last = steps.length - 1;
  const kept = [...new Set(Array.from({ length: TABLE_ROWS }, (_, i) => steps[Math.round((i * last) / (TABLE_ROWS - 1))]))];
  return h("details", { "data-key": `numbers-${id}` }, h("summary", null, "The numbers"), h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": `Numbers of ${heading}` }, h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "step"), drawn.map((line) => h("th", { scope: "col" }, line.label)))),
    h("tbody", null, kept.map((step) => h("tr", null, h("th", { scope: "row" }, whole(step)), drawn.map((line) => {
      const i = line.steps.indexOf(step);
      return h("td", null, i < 0 ? "–" : shown(line.values[i]));
    })))))));
}

function nearest(sorted, wanted) {
  let low = 0, high = sorted.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (sorted[middle] <= wanted) low = middle; else high = middle; }
  return Math.abs(sorted[low] - wanted) <= Math.abs(sorted[high] - wanted) ? low : high;
}
