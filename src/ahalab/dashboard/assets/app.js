// The frame: which run, which view, what is new. Views draw into <main> and are asked again every two seconds.

import { h, replace, say, title } from "./dom.js";
import { ask, get, go, link, onChange } from "./state.js";
import * as overview from "./overview.js";
import * as curves from "./curves.js";
import * as samples from "./samples.js";
import * as table from "./table.js";
import * as prompt from "./prompt.js";
import * as safety from "./safety.js";

const VIEWS = { run: ["Stages", overview], curves: ["Curves", curves], samples: ["Samples", samples], table: ["Stage table", table], prompt: ["One prompt", prompt], safety: ["Safety", safety] };
const EVERY = 2000;

const main = document.getElementById("main");
const picker = document.getElementById("run");
let view = null, shown = "", stop = new AbortController(), timer = 0, turns = 0, visited = false;

async function look(fresh) {
  clearTimeout(timer);
  const turn = ++turns;
  let pause = EVERY;
  if (fresh) stop.abort();
  const mine = fresh ? (stop = new AbortController()) : stop;
  try {
    const { data, changed } = await ask("runs", {}, mine.signal);
    if (changed || fresh) frame(data);
    const asked = wanted(data);
    if (!data.runs.length && asked !== "safety") nothing(data);
    else {
      const run = get("run", data.runs.length ? data.runs[0].id : ""), name = VIEWS[asked] ? asked : "run";
      const key = `${name} ${name === "safety" ? get("evaluation") : run}`;
      if (view === null || shown !== key) {
        view = VIEWS[name][1];
        shown = key;
        main.replaceChildren();
        view.open(main, run);
        window.scrollTo(0, 0);
        if (visited) main.focus({ preventScroll: true });
        visited = true;
      }
      await view.draw(main, run, { runs: data, fresh, signal: mine.signal });
    }
    alive(true, data.runs.some((one) => one.at_work));
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error.said) { trouble(error.message); pause = 5 * EVERY; }
    else if (error instanceof TypeError && /fetch|network/i.test(error.message)) alive(false);
    else { console.error(error); pause = 5 * EVERY; trouble("This view could not be drawn; the browser's console says why."); }
  }
  if (!mine.signal.aborted && turn === turns) timer = setTimeout(() => look(false), document.hidden ? 5 * EVERY : pause);
}

// Where there are safety evaluations only, they are what one comes for.
function wanted({ runs, safety }) { return get("view", !runs.length && safety.length ? "safety" : "run"); }

function frame(data) {
  const { runs } = data;
  const current = get("run", runs.length ? runs[0].id : "");
  const several = runs.map((one) => h("option", { value: one.id, selected: one.id === current }, `${one.label}${one.at_work ? " — at work" : ""}`));
  if (runs.length && !runs.some((one) => one.id === current)) several.unshift(h("option", { value: current, selected: true }, "not here"));
  if (document.activeElement !== picker || picker.options.length !== several.length) picker.replaceChildren(...several);
  const asked = wanted(data);
  picker.parentElement.hidden = !runs.length && data.safety.length > 0;
  const offered = Object.entries(VIEWS).filter(([name]) => (name === "safety" ? data.safety.length > 0 || asked === name : runs.length > 0 || !data.safety.length));
  replace(document.getElementById("views"), offered.map(([name, [label]]) =>
    h("a", { href: link({ view: name, run: current }, ""), "data-key": `view-${name}`, "aria-current": name === asked ? "page" : null }, label)));
}

function nothing({ roots }) {
  shown = "";
  title("No runs yet");
  replace(main, h("h1", null, "No runs yet"), h("div", { class: "empty" },
    h("p", null, "There is no run folder in ", h("code", null, roots.join(", ")), "."), h("p", null, "Start one with ", h("code", null, "aha run zero-quickstart"), "; it appears here by itself.")));
}

function trouble(text) {
  shown = "";
  replace(main, h("h1", null, "Not to be shown"), h("div", { class: "note", role: "alert" }, h("p", null, text)));
}

function alive(on, training) {
  const place = document.getElementById("live"), text = document.getElementById("live-text");
  const now = on ? (training ? "live, a run is at work" : "live") : "no answer from aha ui; trying again";
  place.className = `live ${on ? "on" : "off"}`;
  if (text.textContent !== now) { if (!on || text.textContent.startsWith("no answer")) say(now); text.textContent = now; }
}

picker.addEventListener("change", () => go(link({ view: get("view", "run"), run: picker.value }, "")));
document.addEventListener("click", (event) => {
  const anchor = event.target instanceof Element ? event.target.closest("a[href^='?']") : null;
  if (!anchor || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(anchor.getAttribute("href"));
});
window.addEventListener("popstate", () => look(true));
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(false); });
onChange(() => look(true));
look(true);
