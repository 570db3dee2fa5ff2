"""Forks one house per run and tells how it ended. Within walls it is init of the outer pid namespace.

Its interpreter is warm, so a run costs two forks and no start of Python. It never reads what it hands on: the source,
inputs and outputs of earlier runs are nowhere in the memory that the next run inherits.
"""

from __future__ import annotations

import gc
import json
import os
from contextlib import suppress
from typing import NamedTuple, NoReturn

from ahalab.sandbox.jail import control, house, kernel, walls


class Settings(NamedTuple):
    """What all runs of a zygote have in common."""

    kind: str
    """Of walls: `walls.OWN` or `walls.NONE`."""
    filter: kernel.Filter
    """For programs; unused without walls."""
    interpreter_bytes: int
    """Address space of this interpreter: a Python program gets its memory limit on top of that."""


def serve(line: control.Line, settings: Settings) -> NoReturn:
    """Answer `RUN` and `WAIT` until the keeper is gone."""
    own = -1
    if settings.kind == walls.OWN:
        kernel.set_capabilities(kernel.CAP_SYS_ADMIN, kernel.CAP_SETPCAP)
        kernel.hide_memory()
        own = os.pidfd_open(os.getpid())
    kernel.default_signals()
    gc.disable()
    gc.freeze()  # what is here already is no later run's garbage: its pages stay shared
    child = 0
    with suppress(control.Closed):
        line.say(control.READY)
        while True:
            request, descriptors = line.hear()
            if request == control.WAIT:
                _, _, used = os.wait4(child, 0)
                facts = {"cpu": used.ru_utime + used.ru_stime}
                line.say(json.dumps(facts).encode())
                continue
            try:
                child = _fork(descriptors, line, own, settings)
                handle = [os.pidfd_open(child)] if settings.kind == walls.OWN else []
                line.say(str(child).encode(), handle)
                descriptors += handle
            except OSError as error:
                line.say(control.FAILED + str(error).encode())
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
    os._exit(0)


def _fork(descriptors: list[int], line: control.Line, own: int, settings: Settings) -> int:
    if settings.kind == walls.OWN:
        kernel.unshare(kernel.CLONE_NEWPID, "a pid namespace for a run")
    try:
        child = os.fork()
        if child == 0:
            try:
                line.close()
                if own >= 0:
                    os.close(own)
                house.live(
                    house.Given(*descriptors), settings.kind, settings.filter, settings.interpreter_bytes
                )
            finally:
                os._exit(70)
    finally:
        # Back to our own pid namespace, or the next run could not get a new one.
        if settings.kind == walls.OWN:
            kernel.setns(own, kernel.CLONE_NEWPID)
    return child
