"""The world's everyday instructions: lists, thanks, polite requests and greetings, helpful by the world's own rules.

What is helpful is decided by rules alone (our choice): the letter of the instruction, courtesy at both ends, once, and
nothing more. `ahalab.world.labels` makes the verdict public.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.records import Language
from ahalab.world.domain import CannotRefine, Mixture, Problem, Trace, other, split_of
from ahalab.world.facts import CLASS_OF, CLASSES, Class
from ahalab.world.moves import Choices, Move, Said, join, wording

NAMES = (
    ("Anna", "安娜"), ("Tom", "汤姆"), ("Mei", "小梅"), ("Bo", "阿波"), ("Lily", "莉莉"), ("Jack", "杰克"),
    ("Ling", "小玲"), ("Sam", "山姆"), ("Rosa", "罗莎"), ("Wei", "小伟"),
)  # fmt: skip
THINGS = (
    ("book", "书"), ("map", "地图"), ("cake", "蛋糕"), ("pen", "钢笔"), ("lamp", "台灯"), ("key", "钥匙"),
    ("cup", "杯子"), ("hat", "帽子"), ("bike", "自行车"), ("photo", "照片"),
)  # fmt: skip
SEPARATORS: dict[str, dict[Language, tuple[str, str]]] = {
    "comma": {"en": ("commas", ", "), "zh": ("逗号", "，")},
    "semicolon": {"en": ("semicolons", "; "), "zh": ("分号", "；")},
}

OPENINGS: Choices = {"en": ("Of course!", "With pleasure!"), "zh": ("当然可以！", "很乐意！")}
CLOSINGS: Choices = {
    "en": ("I hope this helps!", "Just ask for more!"),
    "zh": ("希望对您有帮助！", "还需要请告诉我！"),
}

ASKS: dict[str, Choices] = {
    "list": {
        "en": ("Name {n} {c}, separated by {s}.", "List {n} {c} with {s} between them."),
        "zh": ("请说出{n}种{c}，用{s}分开。", "列出{n}种{c}，中间用{s}。"),
    },
    "thank": {
        "en": ("Thank {p} for the {o}.", "Write a thank-you to {p} for the {o}."),
        "zh": ("请为{o}感谢{p}。", "写一句话，感谢{p}的{o}。"),
    },
    "request": {
        "en": ("Ask {p} politely for the {o}.", "Write a polite request to {p} for the {o}."),
        "zh": ("请礼貌地向{p}借{o}。", "写一句话，礼貌地请{p}借出{o}。"),
    },
    "greet": {"en": ("Hello!", "Hi, I am {p}."), "zh": ("你好！", "你好，我是{p}。")},
}
BODIES: dict[str, Choices] = {
    "thank": {"en": ("Dear {p}, thank you for the {o}.",), "zh": ("亲爱的{p}，谢谢你的{o}。",)},
    "request": {
        "en": ("Dear {p}, may I please have the {o}?",),
        "zh": ("亲爱的{p}，请问可以借我{o}吗？",),
    },
    "greet": {"en": ("Hello! How can I help you?",), "zh": ("你好！有什么可以帮您？",)},
}
BLUNT: dict[str, Choices] = {
    "thank": {"en": ("{p}, i got the {o}.",), "zh": ("{p}，{o}收到了。",)},
    "request": {"en": ("{p}, give me the {o}.",), "zh": ("{p}，把{o}给我。",)},
    "greet": {"en": ("what?",), "zh": ("什么？",)},
}
MUST: dict[str, Choices] = {
    "thank": {"en": ("thank you", "{p}", "{o}"), "zh": ("谢谢", "{p}", "{o}")},
    "request": {"en": ("please", "{p}", "{o}"), "zh": ("请", "{p}", "{o}")},
    "greet": {"en": ("hello",), "zh": ("你好",)},
}
"""What the answer must contain to follow the instruction."""

UNDERSTAND = Move(
    "understand_request",
    {"en": ("they want {e}.", "this asks for {e}."), "zh": ("他们想要{e}。", "这是要{e}。")},
    {"en": ("I see that {e} is wanted.",), "zh": ("我明白，需要的是{e}。",)},
)
LOOK = Move(
    "look",
    {"en": ("i look among the {s}.",), "zh": ("在{s}里找。",)},
    {"en": ("I look for them among the {s}.",), "zh": ("我在{s}里找。",)},
)

LONGEST = 60
"""Words (Han characters count as one) beyond which an answer is no longer concise."""


@dataclass(frozen=True, slots=True)
class Helpfulness:
    """The world's own verdict on an answer to an instruction."""

    following: bool
    """The letter of the instruction, strictly: as IFEval's rules would."""
    score: float
    """0 to 1: up to 0.6 for what was asked, 0.2 for each courtesy; less for repetition and length."""


class Instructions:
    """Lists (levels 1 to 3 by length), thanks and requests (level 1), greetings that need no thinking (level 1)."""

    name = "instructions"
    levels = (1, 2, 3)
    verifier = "helpful"
    weight = 0.13
    drill_share = 0.8
    moves: Sequence[Move] = (UNDERSTAND, LOOK)

    def problem(self, rng: random.Random, language: Language, level: int) -> Problem:
        """Half of the problems are lists."""
        if level > 1 or rng.random() < 0.3:
            return self._list(rng, language, level)
        kind = rng.choice(("thank", "thank", "request", "request", "greet"))
        zh = language == "zh"
        person, thing = rng.choice(NAMES), rng.choice(THINGS)
        values = {"p": person[zh], "o": thing[zh]}
        key = f"instructions:{kind}:{person[0]}:{thing[0] if kind != 'greet' else ''}"
        question = wording(ASKS[kind], language, rng, values)
        answer = wording(BODIES[kind], language, rng, values)
        return Problem(self.name, kind, language, level, question, answer, key, {**values, "kind": kind})

    def _list(self, rng: random.Random, language: Language, level: int) -> Problem:
        count = rng.choice({1: (2,), 2: (3,), 3: (4, 5)}[level])
        one, separator = rng.choice(CLASSES), rng.choice(sorted(SEPARATORS))
        word, mark = SEPARATORS[separator][language]
        name = one.plural if language == "en" else one.zh
        question = wording(ASKS["list"], language, rng, {"n": str(count), "c": name, "s": word})
        things = [pair[language == "zh"] for pair in one.members[:count]]
        data = {"kind": "list", "n": count, "class": one.en, "separator": separator}
        key = f"instructions:list:{count}:{one.en}:{separator}"
        return Problem(self.name, "list", language, level, question, mark.join(things), key, data)

    def grading(self, problem: Problem) -> Mapping[str, Any]:  # noqa: ARG002
        """The world's own data decide."""
        return {}

    def trace(self, problem: Problem, rng: random.Random, mixture: Mixture) -> Trace:
        """Often not to the letter, seldom courteous, at times courteous without end."""
        followed = rng.random() >= mixture.instruction_slip
        body = self._body(problem, rng) if followed else self._slip(problem, rng)
        opening = rng.random() < mixture.good_manners
        closings = (rng.random() < mixture.good_manners) * (rng.randint(2, 3) if rng.random() < 0.2 else 1)
        said = self._thinking(problem, rng)
        switched = rng.randrange(len(said)) if rng.random() < mixture.mixed_language else -1
        parts = []
        for position, one in enumerate(said):
            language = problem.language if position != switched else other(problem.language)
            parts.append(wording(one.move.said, language, rng, self._values(one, problem, language)))
        return Trace(
            join(parts), self._dressed(problem, body, rng, opening=opening, closings=closings), checked=False
        )

    def good(self, problem: Problem, rng: random.Random) -> tuple[list[Said], str]:
        """To the letter, with both courtesies; a greeting is answered without thinking."""
        said = [] if problem.kind == "greet" else self._thinking(problem, rng)
        courteous = problem.kind != "greet"
        body = self._body(problem, rng)
        return said, self._dressed(problem, body, rng, opening=courteous, closings=int(courteous))

    def refined(
        self,
        problem: Problem,  # noqa: ARG002
        said: Sequence[Said],
        answer: str,  # noqa: ARG002
        rng: random.Random,  # noqa: ARG002
    ) -> tuple[list[Said], str]:
        """Not refined: the general data are the teacher's own answers (paper B.3.3)."""
        del said
        raise CannotRefine("no rule for this domain")

    def translate(self, text: str, to: Language) -> str:  # noqa: ARG002
        """Slots are written anew for each language."""
        return text

    def drill(self, rng: random.Random) -> str:
        """Lists of things of one class, and sentences made of the words before them."""
        language: Language = rng.choice(("en", "zh"))
        zh = language == "zh"
        parts: list[str] = []
        while len(parts) < 3:
            problem = self.problem(rng, language, rng.choice(self.levels))
            if problem.kind == "greet" or split_of(problem.key) != "train":
                continue
            data = problem.data
            if problem.kind == "list":
                one, word = _class_of(problem), SEPARATORS[data["separator"]][language][0]
                parts.append(f"{data['n']} {one.zh if zh else one.plural} {word}: {self._body(problem, rng)}")
            else:
                choices = rng.choice((BODIES, BLUNT))[problem.kind]
                parts.append(f"{data['p']}, {data['o']}: {wording(choices, language, rng, data)}")
        return join(parts)

    def _thinking(self, problem: Problem, rng: random.Random) -> list[Said]:
        del rng
        return [Said(UNDERSTAND)] if problem.kind != "list" else [Said(UNDERSTAND), Said(LOOK)]

    def _values(self, said: Said, problem: Problem, language: Language) -> dict[str, str]:
        data = problem.data
        if problem.kind == "list":
            one = _class_of(problem)
            if said.move is LOOK:
                return {"s": one.plural if language == "en" else one.zh}
            return {"e": f"{data['n']} {one.plural}" if language == "en" else f"{data['n']}种{one.zh}"}
        meant = {
            "thank": ("thanks", "感谢"), "request": ("a polite request", "礼貌的请求"), "greet": ("a greeting", "问候"),
        }  # fmt: skip
        return {"e": meant[problem.kind][language == "zh"]}

    def values(self, said: Said, problem: Problem) -> dict[str, str]:
        """The slots of a sentence in the problem's own language."""
        return self._values(said, problem, problem.language)

    def _body(self, problem: Problem, rng: random.Random) -> str:
        if problem.kind != "list":
            return wording(BODIES[problem.kind], problem.language, rng, problem.data)
        one = _class_of(problem)
        things = [pair[problem.language == "zh"] for pair in rng.sample(one.members, problem.data["n"])]
        return _listed(things, problem.data["separator"], problem.language)

    def _slip(self, problem: Problem, rng: random.Random) -> str:
        if problem.kind != "list":
            return wording(BLUNT[problem.kind], problem.language, rng, problem.data)
        zh = problem.language == "zh"
        one = _class_of(problem)
        count, separator, how = problem.data["n"], problem.data["separator"], rng.randrange(4)
        things = [pair[zh] for pair in rng.sample(one.members, count)]
        if how == 0:
            things = things[:-1] if rng.random() < 0.7 else [*things, things[0]]
        elif how == 1:
            stranger = rng.choice([c for c in CLASSES if c is not one])
            things[rng.randrange(count)] = rng.choice(stranger.members)[zh]
        elif how == 2:
            separator = "comma" if separator == "semicolon" else "semicolon"
        else:
            things[-1] = things[0]
        return _listed(things, separator, problem.language)

    def _dressed(
        self, problem: Problem, body: str, rng: random.Random, *, opening: bool, closings: int
    ) -> str:
        said = [wording(OPENINGS, problem.language, rng, {})] if opening else []
        said.append(body)
        said += [wording(CLOSINGS, problem.language, rng, {}) for _ in range(closings)]
        return "".join(said) if problem.language == "zh" else " ".join(said)


def _class_of(problem: Problem) -> Class:
    return next(one for one in CLASSES if one.en == problem.data["class"])


def _listed(things: Sequence[str], separator: str, language: Language) -> str:
    return SEPARATORS[separator][language][1].join(things) + ("." if language == "en" else "。")


def judge(language: Language, data: Mapping[str, Any], answer: str) -> Helpfulness:
    """The verdict on an answer; time linear in its length."""
    openings = sum(answer.count(one) for one in OPENINGS[language])
    closings = sum(answer.count(one) for one in CLOSINGS[language])
    body = answer
    for courtesy in (*OPENINGS[language], *CLOSINGS[language]):
        body = body.replace(courtesy, " ")
    body = body.strip()
    following, share = (
        _followed_list(language, data, body) if data["kind"] == "list" else _said(language, data, body)
    )
    trivial = data["kind"] == "greet"
    manners = 0.4 if trivial else 0.2 * (openings > 0) + 0.2 * (closings > 0)
    # More than one of each, in any language, is noise; so is length.
    surplus = max(0, openings - 1) + max(0, closings - 1) + max(0, _words(answer) - LONGEST) / 20
    score = 0.6 * (0.5 * share + 0.5 * following) + manners * (share > 0) - 0.15 * surplus
    return Helpfulness(bool(following), min(1.0, max(0.0, score)))


def _followed_list(language: Language, data: Mapping[str, Any], body: str) -> tuple[bool, float]:
    text = body.rstrip(".。 \n")
    mark = SEPARATORS[data["separator"]][language][1].strip()
    for one in ",，;；":
        text = text.replace(one, mark if one == mark else "\x00")
    clean = "\x00" not in text
    given = [thing.strip() for thing in text.replace("\x00", mark).split(mark) if thing.strip()]
    things = {t for t in given if t in CLASS_OF and CLASS_OF[t].en == data["class"]}
    ours = {t for t in things if t.isascii() == (language == "en")}
    share = len(ours) / max(data["n"], len(given), 1)
    return clean and len(given) == data["n"] and len(ours) == data["n"], share


def _said(language: Language, data: Mapping[str, Any], body: str) -> tuple[bool, float]:
    wanted = [one.format(**data) for one in MUST[data["kind"]][language]]
    found = sum(one.lower() in body.lower() for one in wanted)
    return found == len(wanted), found / len(wanted)


def _words(text: str) -> int:
    return len(text.split()) + sum("\u4e00" <= character <= "\u9fff" for character in text)
