"""Short word lists of our own that tell language from names and terms. Sets of lower-case words."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON_ENGLISH = _words("""
    a about above actually add added adding after again all almost also alternatively always am an and another answer
    any are area as assume at average back be because been before below best better between both but by calculate
    calculating can cannot case check checking choose clearly combine compare compute computing conclusion condition
    consider considering correct could count counting did divide dividing do does done each either else equal equals
    even every exactly example fact few final finally find first firstly five following for four from general get
    given gives go good great greater had half has have he hello hence her here hey hi him his hmm hold how however i
    if in indeed interesting into is it its just know last least less let lets like list look looking make many may
    maybe me mean means method might more most much multiply multiplying must my need never next no not note nothing
    notice now number obviously of off oh okay on once one only option or original other otherwise our out over own
    perfect perhaps please possible problem proof prove question quite really reason recall recheck remember repeat
    result retry right same say second secondly see she should show similarly simple simply since six so solution
    solve solving some something sorry start starting statement still step subtract subtracting such sum summary
    summing suppose sure take ten than that the their them then there therefore these they thing think third this
    those though three through thus time times to together too total true try trying twice two under unfortunately
    until up us use user using value verification verify very wait want was way we well were what when where whether
    which while who why will with without word would wrong yeah yes yet you your zero
""")
"""Words that are English wherever they stand, also with a capital: "Wait，我再算一遍" is no name."""

NOTATION = _words("""
    sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp
    lim max min sup inf mod gcd lcm det arg sqrt pi dx dy dt dz vs
    nm mm cm dm km mg kg ml dl kl kb mb gb tb hz khz mhz ghz kw mw kwh kj mol pa kpa ev db kcal mph rpm
""")
"""What is written in Latin letters in every language: functions of mathematics and units (our list)."""

CODE_WORDS = _words("""
    api app arr async await bool bug cd const css def dict elif false float git grep html http idx import int json
    lambda len ls none null num numpy ok pandas print printf python range return self sql str sudo sum torch true tuple
    url var wifi xml
""")
"""What Chinese writers leave in Latin letters when they speak of programs; neutral where it stands alone in Chinese."""

SURNAMES = (
    "王李张刘陈杨赵吴徐孙朱胡郭林罗郑梁宋唐韩冯邓曹彭萧袁蒋蔡魏吕沈姚卢崔谭汪廖贾韦邹熊秦尹薛闫侯龚邵覃戴汤"
)
"""Frequent surnames that seldom begin another word."""
GIVEN_AFTER_XIAO = "明红华丽刚强芳李王张陈刘赵军东亮林伟雪美兰英海云玲龙虎静月杰梅波宝"
"""小明, 老王, 阿梅: the second character of such names."""
NO_NAMES = _words(
    "王子 王国 王后 李子 杨树 孙子 孙女 张开 林业 汤匙 唐朝 宋朝 秦朝 罗马 龙虎 小红花 小龙虾 小海"
)
