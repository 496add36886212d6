"""The cases, by topic."""

from tests.honesty.cases import clocks, identity, jumps, labels, numbers, rows, sessions, truncation, volumes

CASES = [
    case
    for topic in (sessions, clocks, rows, jumps, volumes, labels, numbers, identity, truncation)
    for case in topic.CASES
]
