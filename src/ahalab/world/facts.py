"""What is known in the tiny world: things and what they are, in both languages."""

from __future__ import annotations

from dataclasses import dataclass

from ahalab.records import Language


@dataclass(frozen=True, slots=True)
class Class:
    """A class of things: its names and its members as (English, Chinese)."""

    en: str
    plural: str
    zh: str
    members: tuple[tuple[str, str], ...]

    def name(self, language: Language) -> str:
        """In the singular."""
        return self.zh if language == "zh" else self.en


def _class(en: str, plural: str, zh: str, members: str) -> Class:
    pairs = [member.split("/") for member in members.split()]
    return Class(en, plural, zh, tuple((a, b) for a, b in pairs))


CLASSES = (
    _class(
        "fruit", "fruits", "水果", "apple/苹果 pear/梨 plum/李子 grape/葡萄 lemon/柠檬 peach/桃子 cherry/樱桃"
    ),
    _class("animal", "animals", "动物", "cow/牛 horse/马 cat/猫 dog/狗 sheep/羊 tiger/老虎 rabbit/兔子"),
    _class("metal", "metals", "金属", "iron/铁 gold/黄金 silver/白银 copper/铜 tin/锡 zinc/锌 lead/铅"),
    _class(
        "colour",
        "colours",
        "颜色",
        "red/红色 blue/蓝色 green/绿色 black/黑色 white/白色 yellow/黄色 grey/灰色",
    ),
    _class(
        "tool", "tools", "工具", "hammer/锤子 saw/锯子 drill/钻头 axe/斧头 knife/刀 spade/铲子 wrench/扳手"
    ),
    _class("tree", "trees", "树", "oak/橡树 pine/松树 maple/枫树 willow/柳树 birch/桦树 cedar/雪松 elm/榆树"),
    _class(
        "instrument",
        "instruments",
        "乐器",
        "piano/钢琴 violin/小提琴 flute/长笛 drum/鼓 guitar/吉他 harp/竖琴 trumpet/小号",
    ),
    _class(
        "planet",
        "planets",
        "行星",
        "Mars/火星 Venus/金星 Saturn/土星 Jupiter/木星 Earth/地球 Uranus/天王星 Neptune/海王星",
    ),
    _class(
        "organ", "organs", "器官", "heart/心脏 liver/肝脏 lung/肺 kidney/肾脏 brain/大脑 stomach/胃 skin/皮肤"
    ),
    _class(
        "gas",
        "gases",
        "气体",
        "oxygen/氧气 helium/氦气 neon/氖气 argon/氩气 hydrogen/氢气 nitrogen/氮气 methane/甲烷",
    ),
)

CLASS_OF: dict[str, Class] = {name: one for one in CLASSES for pair in one.members for name in pair}
"""Every thing, in either language, and its class."""

IN_OTHER: dict[str, str] = {
    name: translated
    for one in CLASSES
    for pair in (*one.members, (one.en, one.zh))
    for name, translated in (pair, pair[::-1])
}
"""Every thing and class in the other language."""
