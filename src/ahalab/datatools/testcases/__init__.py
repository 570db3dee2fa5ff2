"""Test cases for contest problems, made as in the paper (B.3.2): generators, correct submissions, a smallest subset."""
