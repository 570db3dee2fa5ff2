"""Contestants for `test_benchmarks_harness`: standard library only, as the worker demands."""

import time


class Sleeper:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def describe(self) -> dict[str, str]:
        return {"dtype": "none"}

    def run(self, number: int) -> dict[str, int]:
        print("libraries print what they like")
        time.sleep(self.seconds)
        return {"tokens": 100, "number": number}


class Eater:
    """Holds memory for the length of a round only."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes

    def describe(self) -> dict[str, str]:
        return {}

    def run(self, number: int) -> dict[str, int]:
        return {"length": len(bytearray(b"x" * (self.megabytes << 20)))} if number == 0 else {"length": 0}


class Failing:
    def __init__(self) -> None:
        raise ValueError("this peer does not start")
