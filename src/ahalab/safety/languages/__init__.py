"""Many languages: the paper's 5/4/0 score (D.3.4), and a translation job with automatic and human checks."""
