"""The run folder and all that must survive a kill: the only room that decides how bytes reach the disk.

atomic       write aside, sync, rename; a full disk in words
differences  where two plain values differ, in words
hashing      canonical JSON, hashes of configurations, files and folders
jsonl        append-only rows, cut back to an offset on resume
lock         one process per run
faults       named points at which a test may kill the process
checkpoints  numbered checkpoints, the newest complete one wins
manifest     what a finished stage says about itself
environment  machine and library versions, for manifests
folder       the run folder and the life of a stage in it
attempts     what a run leaves behind without losing it
readers      metrics, samples and stages, for analysis and reports
"""
