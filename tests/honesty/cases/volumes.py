"""Volumes, trades and prices that are taken back."""

from __future__ import annotations

from typing import Any

from tests.honesty.case import ABSENT, Case, Edit, Look, at, looks, page, was

ANYHOW = {"warns": None, "alerts": None}
CORRECTED = "corrected|None"
"""A newer trade after the correction carries no mark."""


def print_of(volume: int) -> Edit:
    return ("set", "ABS", {"volume": volume})


def wrong_then_right(name: str, *edits: Edit, until: str = "Tue 11:10", **fields: Any) -> Case:
    """A wrong value that was believed; the right ones after it must come through within a few looks."""
    return Case(
        name,
        "F8",
        [*looks("Tue 10:30", "Tue 10:34", gpw=page(*edits)), *looks("Tue 10:35", until, 5)],
        {"*": was(until), "ABS": was(until, review=CORRECTED)},
        **{**ANYHOW, **fields},
    )


def mine(minute: int, price: float, volume: int | None, **more: Any) -> Look:
    return Look(
        f"Tue 10:{minute:02}",
        mine=(
            {
                "symbol": "ABS",
                "timestamp": f"2026-07-21T08:{minute:02}:00Z",
                "price": price,
                "volume": volume,
                **more,
            },
        ),
    )


CANCELLED = (1000, 1200, 9_001_200, 1300, 1400, 1500, 1600, 1700)

CASES = [
    wrong_then_right("a volume a thousand times too high", print_of(1_985_000)),
    wrong_then_right("a volume twice too high", print_of(2400)),
    wrong_then_right(
        "a last trade that was cancelled", ("set", "ABS", {"price": 86, "volume": 5000, "at": "10:14:00"})
    ),
    wrong_then_right("a high that was cancelled", ("set", "ABS", {"high": 95})),
    Case(
        "a lower volume that stays is believed at the third look",
        "F8",
        [
            *looks("Tue 10:28", "Tue 10:29", gpw=page(print_of(5000))),
            *looks("Tue 10:30", "Tue 10:32", gpw=page(print_of(1180))),
        ],
        {"*": was("Tue 10:32"), "ABS": at(84.19, "Tue", review="corrected", fields={"volume": 1180})},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "one look with a lower volume is not believed",
        "F8",
        [
            Look("Tue 10:30", page(print_of(5000))),
            Look("Tue 10:31", page(print_of(1180))),
            Look("Tue 10:32", page(print_of(5000))),
        ],
        {"*": was("Tue 10:32"), "ABS": at(84.19, "Tue", fields={"volume": 5000})},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a last trade that goes back and stays is believed",
        "F8",
        [
            *looks("Tue 10:30", "Tue 10:31"),
            *looks(
                "Tue 10:32",
                "Tue 10:35",
                gpw=page(("set", "ABS", {"at": "10:01:00", "price": 84, "volume": 1000})),
            ),
        ],
        {"*": was("Tue 10:35"), "ABS": at(84.0, "Tue", review="corrected", fields={"volume": 1000})},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a correction in the closing price",
        "held",
        [Look("Tue 17:16"), *looks("Tue 17:18", "Tue 17:22", gpw=page(("set", "ABS", {"price": 82.5})))],
        {"*": was("Tue 17:22"), "ABS": at(82.5, "Tue", review=CORRECTED)},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    *(
        Case(
            f"a volume of {volume}",
            "held",
            [Look("Tue 10:30", page(print_of(volume), ("cell", "ABS", {"percent": "-"})))],
            {"*": was("Tue 10:30"), "ABS": at(84.19, "Tue", fields={"volume": volume})},
            **ANYHOW,  # type: ignore[arg-type]  # fields of Case
        )
        for volume in (3_000_000_000, 2**49)
    ),
    Case(
        "a new day begins with a new volume",
        "held",
        [Look("Mon 17:22"), Look("Tue 09:20")],
        {"*": was("Tue 09:20"), "ABS": was("Tue 09:20")},
    ),
    Case(
        "a wrong print of a provider of one's own",
        "cancelled-volume",
        [mine(n, 80 + n / 10, volume) for n, volume in enumerate(CANCELLED, start=10)],
        {"ABS": at(81.7, "Tue", review=CORRECTED, fields={"volume": 1700, "origin": "delayed"})},
        warns=None,
        order=("mine",),
        universe=("ABS",),
    ),
    Case(
        "a volume that is not told does not forget the last one",
        "held",
        [mine(10, 80.0, 1000), mine(11, 80.5, None), mine(12, 81.0, 1200)],
        {"ABS": at(81.0, "Tue", fields={"volume": 1200})},
        warns=None,
        order=("mine",),
        universe=("ABS",),
    ),
    Case(
        "a negative volume",
        "held",
        [mine(10, 80.0, -5)],
        {"ABS": ABSENT},
        warns=None,
        order=("mine",),
        universe=("ABS",),
    ),
]
