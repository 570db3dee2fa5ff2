"""`python -m ahalab.cli` is `aha`."""

from ahalab.cli.main import main

main()
