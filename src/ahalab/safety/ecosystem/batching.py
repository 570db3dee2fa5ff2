"""One judge for many waiting samples: what waits while it works is its next batch. No Inspect in here."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from ahalab.safety.protocols import Judge
from ahalab.safety.records import Case, Judgement


class BatchedJudge:
    """Judges from any number of threads. A judge of ours takes one call at a time, and is quicker with many cases."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._waiting: list[tuple[Case, Future[Judgement]]] = []
        self._lock = threading.Lock()
        self._working = threading.Lock()

    def verdict(self, case: Case) -> Judgement:
        """The judgement of a case, when it comes. Errors as `Judge.judge`, for every case of the batch."""
        future: Future[Judgement] = Future()
        with self._lock:
            self._waiting.append((case, future))
        with self._working:
            if not future.done():
                self._work()
        return future.result()

    def _work(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        open_futures = {(case.item.id, case.reply.target, case.part): future for case, future in batch}

        def keep(one: Judgement) -> None:
            future = open_futures.pop((one.item, one.target, one.part), None)
            if future is not None:
                future.set_result(one)

        try:
            self.judge.judge([case for case, _ in batch], keep)
            raise_for = RuntimeError("the judge gave no judgement")
        except BaseException as error:
            for future in open_futures.values():
                future.set_exception(error)
            return
        for future in open_futures.values():
            future.set_exception(raise_for)
