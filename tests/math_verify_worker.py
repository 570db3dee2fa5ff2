"""A grader worker whose verifier `math` is the full path, without the short cut for plain numbers."""

from ahalab.grading import verifiers, worker
from ahalab.grading.mathematics import full_verdict

if __name__ == "__main__":
    verifiers.VERIFIERS["math"] = lambda answer, gold, _extra: full_verdict(answer, gold)
    worker.main()
