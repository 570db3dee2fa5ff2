"""What of this machine is visible to programs: the interpreter, its standard library, and the system's libraries.

For C++ also compiler, headers and tools. Nothing of a home folder, of /etc, /var or /proc, no installed Python package.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ahalab.sandbox.jail.walls import Root

_LIBRARIES = ("/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32")
_TOOLS = ("/bin", "/usr/bin", "/usr/include", "/usr/libexec", "/usr/local/include", "/etc/alternatives")
_CACHE = "/etc/ld.so.cache"
_PACKAGES = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib64/python3*/site-packages")
COMPILERS = ("g++", "clang++")


def interpreter() -> str:
    """The interpreter behind this virtual environment, with every link resolved."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def compiler() -> str | None:
    """The path of the C++ compiler; None without one. Not resolved: clang++ and clang are one file."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def bubblewrap() -> str | None:
    """The path of bubblewrap; None without it."""
    return shutil.which("bwrap")


def visible(*, tools: bool) -> Root:
    """What a worker shows; `tools`: also what compiles C++."""
    executable = Path(interpreter())
    prefix = executable.parent.parent
    wanted = [Path(path) for path in _LIBRARIES + (_TOOLS if tools else ()) + (_CACHE,)]
    wanted += [executable, prefix / "lib", prefix / "lib64"]
    found = compiler()
    if tools and found:
        wanted += [
            Path(path).parent.parent for path in (found, os.path.realpath(found)) if path[:9] != "/usr/bin/"
        ]
    links, shown = dict[str, str](), set[Path]()
    for path in wanted:
        if path.is_symlink():
            links[str(path)] = str(path.readlink())
        elif path.exists() and path != Path("/"):
            shown.add(path)
    outermost = sorted(path for path in shown if not shown.intersection(path.parents))
    packages = {
        str(folder)
        for start in {prefix, Path("/usr"), Path("/usr/local")}
        for pattern in _PACKAGES
        for folder in start.glob(pattern)
        if folder.is_dir() and not folder.is_symlink() and any(each in folder.parents for each in outermost)
    }
    return Root([str(path) for path in outermost], sorted(packages), links)
