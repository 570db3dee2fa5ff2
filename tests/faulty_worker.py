# ruff: noqa: ARG001
"""A grader worker with verifiers that misbehave in every way a real one might. Run by test_grading_pool.py."""

import collections
import itertools
import os
import signal
import sys
import time

from ahalab.grading import verifiers, worker


def stuck_in_python(answer, gold, extra):
    while True:
        pass


def stuck_in_c(answer, gold, extra):
    collections.deque(itertools.repeat(0), maxlen=0)


def swallows_everything(answer, gold, extra):
    end = time.process_time() + 1.5
    while time.process_time() < end:
        try:
            while time.process_time() < end:
                pass
        except:  # noqa: E722 - what libraries do
            pass
    return 1.0


def waits_for_ever(answer, gold, extra):
    time.sleep(1000)


def crashes(answer, gold, extra):
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(answer, gold, extra):
    os._exit(3)


def killed_from_outside(answer, gold, extra):
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(answer, gold, extra):
    try:
        os.close(os.open(answer, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return 1.0
    os.kill(os.getpid(), signal.SIGKILL)


def eats_memory(answer, gold, extra):
    return float(len(bytearray(1 << 40)))


def prints(answer, gold, extra):
    print("noise on stdout")
    os.write(1, b'{"id": 99, "score": 1.0}\n')
    return 1.0


def raises(answer, gold, extra):
    raise KeyError("a bug in the verifier")


FAULTY = (
    stuck_in_python,
    stuck_in_c,
    swallows_everything,
    waits_for_ever,
    crashes,
    exits,
    killed_from_outside,
    killed_once,
    eats_memory,
    prints,
    raises,
)

if __name__ == "__main__":
    verifiers.VERIFIERS.update({function.__name__: function for function in FAULTY})
    if "--die-at-start" in sys.argv:
        sys.exit("no such library")
    worker.main()
