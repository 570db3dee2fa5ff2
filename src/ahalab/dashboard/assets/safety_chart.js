// Shares with their intervals: a panel a column, a line a row. The table below it holds the same figures.

import { h, s } from "./dom.js";

const LABEL = 230, PANEL = 150, GAP = 26, LINE = 30, TOP = 26, BOTTOM = 22;
const LETTERS = 34;

function short(text, most) { return text.length <= most ? text : `${text.slice(0, most - 1)}…`; }

export function dots(table) {
  const width = LABEL + table.charted_columns.length * (PANEL + GAP), height = TOP + table.rows.length * LINE + BOTTOM;
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" });
  table.charted_columns.forEach((column, panel) => {
    const name = table.columns[column], left = LABEL + panel * (PANEL + GAP), x = (share) => left + share * PANEL;
    svg.append(s("text", { x: left, y: 14 }, short(name, 24)));
    for (const at of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(s("line", { class: "gridline", x1: x(at), x2: x(at), y1: TOP, y2: height - BOTTOM }));
      if (at % 0.5 === 0) svg.append(s("text", { x: x(at), y: height - 6, "text-anchor": "middle" }, String(100 * at)));
    }
    const present = table.charted.map((_, i) => i).filter((i) => table.rows.some((row) => (row.cells[column].dots[i] || [null])[0] !== null));
    table.rows.forEach((row, place) => present.forEach((i, order) => {
      const [value, low, high] = row.cells[column].dots[i] || [], figure = table.charted[i];
      if (value === null || value === undefined) return;
      const y = TOP + (place + 0.5) * LINE + (order - (present.length - 1) / 2) * 9, look = `c${figure.colour}`;
      if (low !== null && low !== undefined) svg.append(s("line", { class: `line ${look}`, x1: x(low), x2: x(high), y1: y, y2: y }));
      svg.append(row.source === "paper" ? s("rect", { class: `hollow ${look}`, x: x(value) - 3.5, y: y - 3.5, width: 7, height: 7, transform: `rotate(45 ${x(value)} ${y})` }) : s("circle", { class: `point ${look}`, cx: x(value), cy: y, r: 4 }));
    }));
  });
  table.rows.forEach((row, place) => {
    const y = TOP + (place + 0.5) * LINE + 4, mark = row.marks.length ? ` [${row.marks.join(", ")}]` : "";
    svg.append(s("text", { x: LABEL - 12, y, "text-anchor": "end", class: "ink" }, s("title", null, row.label + mark), short(row.label + mark, LETTERS)));
  });
  return h("figure", { class: "dots-figure" },
    h("ul", { class: "key" }, table.charted.map((figure) => h("li", { class: `c${figure.colour}` }, h("i", { "aria-hidden": "true" }), figure.label)), h("li", null, "per cent; lines: 95 % intervals"), table.rows.some((row) => row.source === "paper") && h("li", null, "diamonds: the paper's figures, another question set")),
    h("div", { class: "plot scroll", tabindex: 0, role: "group", "aria-label": `Chart of the table below: ${table.title}` }, svg));
}
