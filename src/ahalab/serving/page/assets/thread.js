// One round on the page: a question, and what became of its reply. `draw` may be called as often as one likes.

import { copy, h, say, shown, visible } from "./dom.js";
import { draw as drawMarkdown } from "./markdown.js";
import { t } from "./words.js";

export class RoundView {
  // `act`: what the buttons do: retry(), edit(), key(), fresh()
  constructor(round, act) {
    this.round = round;
    this.act = act;
    this.thinkingText = h("div", { class: "text" });
    this.summary = h("summary");
    this.thinking = h("details", { class: "thinking", hidden: true }, this.summary, this.thinkingText);
    this.state = h("p", { class: "state" });
    this.answer = h("div", { class: "text answer" });
    this.note = h("div");
    this.tools = h("div", { class: "tools" });
    this.title = h("h2", { class: "unseen" });
    this.reply = h("article", { class: "reply" }, this.title, this.state, this.thinking, this.answer, this.note, this.tools);
    this.node = h("section", { class: "round" },
      h("article", { class: "question" }, h("h2", { class: "unseen" }, t("you")), h("p", { dir: "auto" }, shown(round.question))), this.reply);
    this.drawn = "";
  }

  draw(last) {
    const { reply } = this.round, live = reply.state === "waiting" || reply.state === "answering";
    if (!this.title.textContent) this.title.append(...shown(t("replyOf", reply.model)));
    this.reply.setAttribute("aria-busy", String(live));
    drawMarkdown(this.answer, reply.text);
    drawMarkdown(this.thinkingText, reply.thinking);
    const open = live && !reply.text && reply.thinking;
    this.thinkingText.classList.toggle("streaming", Boolean(open));
    this.answer.classList.toggle("streaming", live && Boolean(reply.text));
    this.thinking.hidden = !reply.thinking;
    this.summary.textContent = t(open ? "thinking" : "thought", reply.seconds);
    this.state.hidden = !(live && (reply.slow || (!reply.text && !reply.thinking)));
    this.state.textContent = t(reply.slow ? "slow" : "waiting");
    this.state.classList.toggle("streaming", !this.state.hidden);
    const key = `${reply.state} ${last} ${reply.left || 0}`;
    if (live) this.tools.replaceChildren();
    if (key === this.drawn || live) { if (live) { this.drawn = ""; this.note.replaceChildren(); } return; }
    if (this.drawn.split(" ")[0] !== reply.state) this.note.replaceChildren(...noteOf(reply));
    this.drawn = key;
    this.tools.replaceChildren(...this.buttons(last));
  }

  buttons(last) {
    const { reply } = this.round, made = [];
    const button = (name, label, call, more) => {
      const held = this.tools.querySelector(`[data-name="${name}"]`) || h("button", { type: "button", class: "small", "data-name": name, onclick: call });
      held.textContent = label;
      held.disabled = Boolean(more?.off);
      made.push(held);
    };
    if (reply.text) button("copy", t("copy"), async () => say(await copy(visible(this.round.reply.text)) ? t("copied") : t("noCopying")));
    if (last && reply.key) button("key", t("keyEnter"), () => this.act.key());
    if (last && reply.reason === "retracted_history") button("fresh", t("fresh"), () => this.act.fresh());
    if (last) button("retry", reply.left ? t("againIn", reply.left) : t("again"), () => this.act.retry(), { off: reply.left });
    if (last) button("edit", t("edit"), () => this.act.edit());
    return made;
  }
}

function noteOf(reply) {
  if (reply.state === "withdrawn") {
    const category = ["", "default", "unavailable", "retracted_history"].includes(reply.category) ? "" : t("category", t("categories")[reply.category] || reply.category);
    return [h("div", { class: "note withdrawn" },
      h("p", { class: "note-title" }, t(reply.reason === "retracted_history" ? "notAnswered" : "withdrawn")),
      h("p", { dir: "auto" }, shown(reply.note || t("withdrawnWhy"))),
      h("p", { class: "small-print" }, t("notSentAgain")),
      category || reply.verdict ? h("p", { class: "small-print" }, shown(category), category && reply.verdict ? " · " : "", h("span", { class: "verdict" }, shown(reply.verdict && t("decision", reply.verdict)))) : null)];
  }
  if (reply.state === "failed") {
    return [h("div", { class: "note failed" }, h("p", { class: "note-title" }, shown(t(...reply.fault))), reply.said ? h("p", { dir: "auto" }, t("serverSays"), shown(reply.said)) : null)];
  }
  if (reply.state === "stopped") return [h("p", { class: "small-print" }, t(reply.text || reply.thinking ? "stopped" : "stoppedEmpty"))];
  if (reply.state === "cut") return [h("p", { class: "small-print" }, t("cut"))];
  return [];
}
