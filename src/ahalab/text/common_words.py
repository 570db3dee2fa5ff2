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
    given gives go good great greater had half has have he hence her here hey him his hmm hold how however i
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

TWO_LETTERS = _words(
    "ah am an as at be by do eh er go ha he hi hm if in is it me mm my no of oh ok on or so to uh um up us we"
)
"""The English words of two letters; any other pair is a symbol: AB, Fe, xy."""

CODE_WORDS = _words("""
    api app async await bool bug class cout cpp cur def dict echo elif else end false float git grep head heap high
    html http import int json key lambda left len list low mid next node none None null num numpy ok pandas prev print
    printf python queue range return right root self set sql stack start str sudo sum tail target temp torch true True
    False tuple url var wifi xml
""")
"""Written just so, what Chinese writers leave in Latin letters when they speak of programs."""

SHOUTED = _words("""
    all and but can for has hmm how if its let may new no not now oh out she so the too was why yes you
""")
"""Short words that are English in capitals as well; other short words in capitals are abbreviations: WHO, IT, AM."""

SURNAMES = (
    "王李张刘陈杨赵吴徐孙朱胡郭林罗郑梁宋唐韩冯邓曹彭萧袁蒋蔡魏吕沈姚卢崔谭汪廖贾韦邹熊秦尹薛闫侯龚邵覃戴汤"
)
"""Frequent surnames that seldom begin another word."""
GIVEN_AFTER_XIAO = "明红华丽刚强芳李王张陈刘赵军东亮林伟雪美兰英海云玲龙虎静月杰梅波宝"
"""小明, 老王, 阿梅: the second character of such names."""
NO_NAMES = _words(
    "王子 王国 王后 李子 杨树 孙子 孙女 张开 林业 汤匙 唐朝 宋朝 秦朝 罗马 龙虎 小红花 小龙虾 小海"
)
