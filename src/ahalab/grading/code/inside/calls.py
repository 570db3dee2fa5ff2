"""Calls a submission's function with the arguments of each test. Runs inside the sandbox; it knows no wanted results.

In, on stdin: {"function", "class", "calls": [[argument, …], …]}; beside it `submission.py`. Out: a line a call,
{"test": 0, "value": …} or {"test": 0, "error": …}; or once {"compile": …}. The submission shares this process, so all
of this is no more than the submission's own claim.
"""

import json
import os
import re
import sys
import types
from typing import Any

RECURSION = 50_000
"""As LiveCodeBench allows; sites that judge functions raise Python's own limit."""

PRELUDE = {
    "typing": "Any Callable Deque DefaultDict Dict FrozenSet Generator Iterable Iterator List Optional "
    "Sequence Set Tuple Type Union",
    "collections": "Counter OrderedDict defaultdict deque",
    "functools": "cache cmp_to_key lru_cache reduce",
    "itertools": "accumulate chain combinations permutations product",
    "heapq": "heapify heappop heappush",
    "bisect": "bisect bisect_left bisect_right",
    "math": "ceil comb floor gcd inf lcm sqrt",
}
"""Names that sites which judge functions have imported already, so that their solutions do not."""
MODULES = "bisect collections copy functools heapq itertools math operator random re string typing"


def prelude(source: str) -> dict[str, Any]:
    """Those of the names that occur in the source; nothing is imported for others."""
    words = set(re.findall(r"[A-Za-z_]\w*", source))
    found: dict[str, Any] = {}
    for module, names in PRELUDE.items():
        wanted = words.intersection(names.split())
        if wanted:
            loaded = __import__(module)
            for name in wanted:
                found.setdefault(name, getattr(loaded, name))
    for module in words.intersection(MODULES.split()):
        found.setdefault(module, __import__(module))
    return found


def plain(value: Any) -> Any:
    """numpy's scalars and arrays as lists and numbers; nothing else is taken apart."""
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(type(value).__name__)


def find(module: types.ModuleType, class_name: str | None, function: str) -> Any:
    """A function that calls the submission's; a class is made anew for every call, as such sites do it."""
    for name in dict.fromkeys((class_name, None, "Solution")):
        owner: Any = module if name is None else getattr(module, name, None)
        if owner is not None and hasattr(owner, function):
            if name is None:
                return getattr(module, function)
            return lambda *arguments: getattr(owner(), function)(*arguments)
    raise NameError(f"the program defines no {function!r}")


def main() -> None:
    request = json.loads(sys.stdin.buffer.read())
    reply = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what the submission prints is nobody's answer

    def say(message: dict[str, Any]) -> None:
        data = (json.dumps(message, default=plain) + "\n").encode()
        while data:
            data = data[os.write(reply, data) :]

    with open("submission.py", encoding="utf-8") as file:  # noqa: PTH123 - stands alone, starts fast
        source = file.read()
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    sys.set_int_max_str_digits(0)
    sys.setrecursionlimit(RECURSION)
    try:
        code = compile(source, "submission.py", "exec")
    except (SyntaxError, ValueError) as error:
        say({"compile": f"{type(error).__name__}: {error}"[:500]})
        os._exit(0)
    module = types.ModuleType("submission")
    module.__dict__.update(prelude(source))
    sys.modules["submission"] = module
    exec(code, module.__dict__)
    function = find(module, request["class"], request["function"])
    for place, arguments in enumerate(request["calls"]):
        try:
            value = function(*arguments)
        except MemoryError:
            raise
        except BaseException as error:
            say({"test": place, "error": f"{type(error).__name__}: {error}"[:500]})
            continue
        try:
            say({"test": place, "value": value})
        except MemoryError:
            raise
        except Exception as error:
            say({"test": place, "error": f"it returned what JSON has no form for ({error})"[:500]})
    os._exit(0)  # threads that the submission left behind are not waited for


if __name__ == "__main__":
    main()
