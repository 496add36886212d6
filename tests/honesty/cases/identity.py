"""Whose row it is."""

from __future__ import annotations

from tests.honesty.case import ABSENT, Case, Edit, Look, looks, maybe, old, page, was

ANYHOW = {"warns": None, "alerts": None}
OTHER = {"isin": "PLOPTTC00011", "name": "NOWASPOLKA"}
KNOWN = ("ABS?", "11B", "AMB", "APT", "ASE", "ATC")
"""A universe in which the ISIN of ABS is not known."""

NOT_OURS = {
    "another ISIN": ("cell", "ABS", OTHER),
    "another currency": ("cell", "ABS", {"currency": "EUR"}),
    "a ticker with a suffix": ("as", "ABS", "ABSP"),
    "a ticker in lower case": ("as", "ABS", "abs"),
    "a ticker with a dash": ("as", "ABS", "ABS-PP"),
}


def first(name: str, *edits: Edit, fault: str = "held") -> Case:
    return Case(
        name, fault, [Look("Tue 10:30", page(*edits))], {"*": was("Tue 10:30"), "ABS": ABSENT}, **ANYHOW
    )  # type: ignore[arg-type]  # fields of Case


CASES = [
    *(first(name, edit) for name, edit in NOT_OURS.items()),
    Case(
        "rights in front of the share",
        "held",
        [Look("Tue 10:30", page(("as", "1AT", "ABSP")))],
        {"*": was("Tue 10:30"), "1AT": ABSENT},
        **ANYHOW,
    ),  # type: ignore[arg-type]  # fields of Case
    Case(
        "the share beside a row of another company under its ticker",
        "held",
        [Look("Tue 10:30", page(("again", "ABS", OTHER)))],
        {"*": was("Tue 10:30"), "ABS": maybe(was("Tue 10:30"))},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "two companies swap their tickers",
        "F9",
        [
            Look("Mon 17:22"),
            *looks(
                "Tue 10:30",
                "Tue 10:40",
                2,
                gpw=page(
                    ("cell", "ABS", {"isin": "PL11BTS00015"}), ("cell", "11B", {"isin": "PLABS0000018"})
                ),
            ),
        ],
        {"*": was("Tue 10:40"), "ABS": old("Mon 17:22", "renamed"), "11B": old("Mon 17:22", "renamed")},
        warns=("ABS", "11B"),
        alerts=("stale",),
    ),
    *(
        Case(
            f"another company under a ticker whose ISIN the list does not know ({name})",
            "F9",
            [
                before,
                *looks(
                    "Tue 10:31",
                    "Tue 10:40",
                    3,
                    gpw=page(("cell", "ABS", {"isin": "PLOPTTC00011"}), ("scale", "ABS", 0.78)),
                ),
            ],
            {"11B": was("Tue 10:40"), "ABS": old(seen, "renamed")},
            warns=("ABS",),
            alerts=("stale",),
            universe=KNOWN,
        )
        for name, before, seen in (
            (
                "a minute later",
                Look("Tue 10:30", page(("cell", "ABS", {"isin": "PLABS0000018"}))),
                "Tue 10:30",
            ),
            ("the next day", Look("Mon 17:22", page(("cell", "ABS", {"isin": "PLABS0000018"}))), "Mon 17:22"),
        )
    ),
    Case(
        "a ticker whose ISIN nobody knows",
        "held",
        [Look("Mon 17:22"), Look("Tue 10:30")],
        {"11B": was("Tue 10:30"), "ABS": was("Tue 10:30")},
        universe=KNOWN,
    ),
    Case(
        "an empty ISIN cell is no other ISIN",
        "held",
        [Look("Tue 10:30", page(("cell", "ABS", {"isin": "-"})))],
        {"*": was("Tue 10:30")},
    ),
]
