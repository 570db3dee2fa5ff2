"""Tasks for EleutherAI's lm-eval: this folder is what `--include_path` takes. Chosen sets are multiple choice only."""
