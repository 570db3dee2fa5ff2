"""A hundred answers made to hang, crash or fool a mathematics verifier. Data for tests, each with the gold 5.

Some stand for numbers without end, some are built to be parsed for ever, some to slow a regular expression down.
None equals 5; each must get its verdict, 0 or a counted error, within the limit.
"""

from __future__ import annotations


def _towers() -> dict[str, str]:
    return {
        "tower of nines": "$9^{9^{9}}$",
        "tower of tens": "\\boxed{10^{10^{10}}}",
        "tower of four": "$7^{7^{7^{7}}}$",
        "tower of twenty": "2^{" * 20 + "2" + "}" * 20,
        "tower of two hundred": "\\boxed{" + "2^{" * 200 + "2" + "}" * 201,
        "python tower": "9**9**9**9",
        "plain tower": "9^9^9^9",
        "negative tower": "$2^{-9^{9^{9}}}$",
        "tower below a root": "\\sqrt{9^{9^{9}}}",
        "tower mod 1000": "$7^{7^{7^7}} \\mod 1000$",
        "quotient of towers": "$\\frac{2^{1000000}}{3^{1000000}}$",
        "quotient of huge powers": "$\\frac{9^{9^9}}{9^{9^9}-1}$",
        "logarithm of a tower": "$\\log(\\log(7^{10^{10^{10}}}))$",
        "sine of a tower": "$\\sin(10^{10^{10}})$",
        "exponential of an exponential": "e^{e^{e^{e^{e}}}}",
        "million as an exponent": "1.0000001^{1000000000000}",
        "fractional tower": "(\\frac{1}{3})^{10^{12}}",
        "equation with a tower": "$x = 9^{9^9}$",
        "set with a tower": "$\\{1, 9^{9^9}\\}$",
        "tuple with towers": "(9^{9^9},9^{9^9},9^{9^9})",
        "scientific without end": "1e999999999",
        "scientific with a tower": "3\\times10^{10^{10}}",
        "percent of a tower": "9^{9^{9}}\\%",
        "tower in centimeters": "9^{9^{9}} cm",
        "repeated squares": "(((((((((2^{99})^{99})^{99})^{99})^{99})^{99})^{99})^{99})^{99})",
    }


def _combinatorics() -> dict[str, str]:
    return {
        "factorial": "100000000!",
        "factorial of a factorial": "$(20!)!$",
        "three factorials": "((9!)!)!",
        "signs of factorial": "9" + "!" * 300,
        "quotient of factorials": "\\frac{100000000!}{99999999!}",
        "binomial": "\\binom{10^9}{5\\cdot 10^8}",
        "Chinese binomial": "C_{999999999}^{499999999}",
        "binomial of binomials": "\\binom{\\binom{100}{50}}{\\binom{99}{49}}",
        "expansion": "(x+y+z)^{300}",
        "wide expansion": "(a+b+c+d+e+f+g+h)^{40}",
        "product of expansions": "(a+b+c)^{30}(d+e+f)^{30}(g+h+k)^{30}",
        "difference of expansions": "(x+1)^{900}-(x-1)^{900}",
        "gcd of towers": "\\gcd(2^{10^{9}}-1, 2^{10^{8}}-1)",
        "permutations": "\\frac{(10^{10})!}{(10^{10}-5)!}",
    }


def _calculus() -> dict[str, str]:
    return {
        "long sum": "$\\sum_{k=1}^{1000000000} \\frac{1}{k^2}$",
        "sum of powers": "\\sum_{k=1}^{10^{8}} k^k",
        "double sum": "\\sum_{a=1}^{100000}\\sum_{b=1}^{100000} \\frac{1}{a^2+b^2}",
        "sum without end": "\\sum_{n=1}^{\\infty} \\frac{\\sin(n^2)}{n!}",
        "long product": "\\prod_{k=1}^{100000000} (1+\\frac{1}{k})",
        "product of sums": "\\prod_{k=1}^{1000} \\sum_{j=1}^{1000} \\frac{k}{j}",
        "hard integral": "\\int_0^1 \\frac{x^5(1-x)^4}{1+x^2} e^{-x^2} \\sin(x^7) dx",
        "nested integrals": "\\int_0^1 \\int_0^1 \\int_0^1 e^{xyz}\\sin(x+y+z) dx dy dz",
        "integral without a form": "\\int_0^{\\infty} \\frac{\\ln(1+x^3)}{1+x^5} dx",
        "integral of a tower": "\\int_0^1 x^{x^{x}} dx",
        "derivative of a product": "\\frac{d}{dx}\\left(" + "\\sin(x)\\cos(x)e^{x}" * 20 + "\\right)",
        "limit": "\\lim_{x\\to\\infty} \\frac{x^{x^{x}}}{(x^{x})!}",
        "limit of a sum": "\\lim_{n\\to\\infty} \\sum_{k=1}^{n} \\frac{\\sin k}{k^3+n}",
    }


def _nesting() -> dict[str, str]:
    return {
        "parentheses": "(" * 10_000 + "5" + ")" * 10_000,
        "braces": "{" * 10_000 + "5" + "}" * 10_000,
        "brackets": "[" * 10_000 + "5" + "]" * 10_000,
        "open parentheses": "(" * 10_000,
        "sixty parentheses": "(" * 60 + "6" + ")" * 60,
        "four hundred parentheses": "(" * 400 + "6" + ")" * 400,
        "four hundred brackets": "[" * 400 + "6" + "]" * 400,
        "set of sets": "\\{" * 150 + "6" + "\\}" * 150,
        "tuple in tuple": "(1," * 150 + "6" + ")" * 150,
        "fractions": "\\boxed{" + "\\frac{1}{1+" * 30 + "1" + "}" * 31,
        "fractions in x": "\\frac{1}{x+" * 13 + "1" + "}" * 13,
        "sixty fractions": "\\frac{1}{" * 60 + "x" + "}" * 60,
        "roots": "\\sqrt{1+" * 44 + "1" + "}" * 44,
        "roots in x": "\\sqrt{x+" * 20 + "1" + "}" * 20,
        "two hundred roots": "\\sqrt{" * 120 + "7" + "}" * 120,
        "absolute values": "|" * 400 + "6" + "|" * 400,
        "boxes in boxes": "\\boxed{" * 120 + "6" + "}" * 120,
        "boxes": "\\boxed{6}" * 100,
        "open boxes": "\\boxed{" * 130,
        "minus signs": "-" * 900 + "6",
        "subscripts": "x_{" * 200 + "1" + "}" * 200,
        "text in text": "\\text{" * 150 + "6" + "}" * 150,
        "left and right": "\\left(" * 90 + "6" + "\\right)" * 60,
        "ninety signs": "\\pm" * 300 + "1",
        "sums of ±": "1" + "\\pm1" * 200,
        "sines in sines": "\\sin(" * 100 + "x" + ")" * 100,
        "logarithms in logarithms": "\\ln(" * 100 + "x" + ")" * 100,
    }


def _size() -> dict[str, str]:
    row = "&".join("1" for _ in range(40))
    return {
        "matrix": "\\begin{pmatrix}" + "\\\\".join([row] * 11) + "\\end{pmatrix}",
        "symbolic matrix": "\\begin{pmatrix}" + "\\\\".join(["a&b&c&e&f&g&h&k"] * 20) + "\\end{pmatrix}",
        "power of a matrix": "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}^{1000000}",
        "determinant": "\\begin{vmatrix}" + "\\\\".join(["a&b&c&e&f&g&h&k"] * 8) + "\\end{vmatrix}",
        "list": ",".join(str(n) for n in range(250)),
        "list of roots": ",".join(f"\\sqrt{{{n}}}" for n in range(80)),
        "long sum of terms": "+".join(f"x^{{{n}}}" for n in range(110)),
        "product of sines": "\\cdot".join(f"\\sin({k}x)" for k in range(1, 18)),
        "sum of roots": "+".join(f"\\sqrt{{{n}}}" for n in range(2, 80)),
        "product of brackets": "".join(f"(x+{n})" for n in range(1, 130)),
        "million digits": "6" * 1_000_000,
        "thousand digits": "6" * 999,
        "digits after the point": "6." + "3" * 990,
        "quotient of long numbers": "\\frac{" + "7" * 480 + "}{" + "3" * 480 + "}",
        "power of a long number": "(" + "7" * 300 + ")^{" + "9" * 300 + "}",
        "junk": "x" * 900,
        "mixed junk": "5 " + "ab cd, " * 130,
        "equations": "x=" * 300 + "6",
        "relations": "1<" * 300 + "2",
        "commas": "," * 990,
        "backslashes": "\\" * 999,
        "polynomial equation": "x^{9}+3x^{8}-7x^{5}+x-11=0",
        "system": "x^5+y^5=3, x^3y-y^2=1, xy=7",
        "inequality of high degree": "x^{50}-3x^{49}+x-1>0",
        "trigonometric equation": "\\sin(x)+\\cos(x^2)=\\tan(x^3)",
    }


def _texts() -> dict[str, str]:
    return {
        "words before a number": "the answer is " * 70,
        "markers": "答案是" * 300,
        "spaces": " " * 990 + "6",
        "numbers and spaces": "1 " * 490,
        "thousands": "1,234" * 190,
        "almost thousands": "1,23," * 190,
        "dollars": "$" * 999,
        "formulas": "$6$ and " * 120,
        "open formula": "\\(" * 490,
        "almost a unit": "6 " + "m/s " * 240,
        "almost a text": "\\text{" + "a " * 480,
        "combining characters": "6" + "\u0301\u0327" * 490,
        "ligatures": "ﷺ" * 900,
        "nulls": "6\x00" * 480,
        "surrogates": "\ud800" * 900,
        "right to left": "\u202e6\u202c" * 300,
        "zero widths": "6\u200b" * 480,
        "superscripts": "2" + "⁹" * 900,
        "fractions in one sign": "½" * 900,
        "Chinese numeral": "一百" * 480,
        "Chinese fractions": "三分之" * 330 + "一",
        "Chinese powers": "9" + "亿" * 900,
        "repeating decimal": "0." + "12" * 480 + "...",
        "bars": "0.\\overline{" * 80,
        "or": "6 or " * 190 + "6",
        "percent signs": "6" + "%" * 900,
        "nested negation": "not " * 240 + "6",
        "Python": "__import__('os').system('sleep 9')",
        "Python power": "lambda: 9**9**9",
    }


PATHOLOGICAL: dict[str, str] = {
    **_towers(),
    **_combinatorics(),
    **_calculus(),
    **_nesting(),
    **_size(),
    **_texts(),
}
GOLD = "5"
HARD_GOLDS = ("x^2+2x+1", "(3,\\infty)", "\\{1,2\\}", "5 cm", "x=1 or x=2", "是")
"""Other golds, for a sample: each takes another path through the verifier."""
