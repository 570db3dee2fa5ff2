"""Labels by people (or whoever labels) and what they say about a judge: agreement, confusion matrix, corrected rates.

`pairs` joins labels with a judge's verdicts; `kappa` measures the agreement; `correction` corrects rates; `gold` reads
published labelled sets; `validation` measures a judge on them; `sampling` and `session` are the blind labelling.
"""
