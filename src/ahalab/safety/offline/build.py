"""`python -m ahalab.safety.offline.build --xstest DIR`: the offline judge's weights and card, from hashed inputs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ahalab.errors import AhaError
from ahalab.runs.atomic import write_json
from ahalab.safety.offline import inputs
from ahalab.safety.offline.building import Builder, read_material
from ahalab.safety.offline.weights import WEIGHTS, Weights, load_weights, save_weights


def main(arguments: list[str] | None = None) -> int:
    """Builds, measures, writes. 2 where an input is missing or another than recorded."""
    parser = argparse.ArgumentParser(prog="python -m ahalab.safety.offline.build", description=__doc__)
    parser.add_argument("--xstest", type=Path, required=True, help="folder of xstest_labelled_*.csv")
    parser.add_argument("--out", type=Path, default=WEIGHTS.parent, help="where weights and card are written")
    parser.add_argument(
        "--record", action="store_true", help="take the inputs as they are; write their hashes"
    )
    parser.add_argument("--without-figures", action="store_true", help="weights only, no card")
    options = parser.parse_args(arguments)
    try:
        build(options.xstest, options.out, options.record, not options.without_figures)
    except AhaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def build(xstest: Path, out: Path, record: bool, with_figures: bool) -> None:
    """The whole build. UserError as `inputs.check_inputs`."""
    found = inputs.find_inputs(xstest)
    if record:
        write_json(inputs.RECORD, inputs.recorded(found))
    known = inputs.check_inputs(found)
    builder = Builder(read_material(found))
    weights = builder.everything(say)
    settings = weights.settings | {"inputs": {name: one["sha256"] for name, one in known.items()}}
    path = out / WEIGHTS.name
    save_weights(path, Weights(weights.heads, settings))
    say(f"{path}: {path.stat().st_size:,} bytes")
    if with_figures:
        from ahalab.safety.offline.card import write_card

        write_card(out / "card.json", builder, known, load_weights(path), say)


def say(line: str) -> None:
    """Progress, a line each."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
