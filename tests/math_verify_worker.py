"""A grader worker whose verifier `math` is math-verify alone, without our short cuts for plain numbers."""

from ahalab.grading import verifiers, worker
from ahalab.grading.mathematics import by_math_verify

if __name__ == "__main__":
    verifiers.VERIFIERS["math"] = lambda answer, gold, _extra: by_math_verify(answer, gold)
    worker.main()
