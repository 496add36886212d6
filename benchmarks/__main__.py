"""Run every benchmark: ``make bench``, or ``python -m benchmarks cycle fanout`` for some.

Machines are noisy: what counts are the ratios within one run.
"""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "journal",
    "cycle",
    "parse",
    "hostile",
    "start",
    "watch",
    "board",
    "replay_questdb",
    "imports",
    "fanout",
    "fanout_slow",
    "ten_thousand",
    "scale",
)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        print(f"== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
