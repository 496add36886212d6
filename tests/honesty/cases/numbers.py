"""Numbers: how they are read, rounded and computed."""

from __future__ import annotations

from typing import Any

from tests.honesty.case import ABSENT, Case, Look, Sees, at, looks, page, was

ANYHOW = {"warns": None, "alerts": None}
FLAT = {"open": 1999.95, "high": 2000, "low": 1999.95, "before": 2000}


def rounded(
    name: str, price: float, before: float, change: float, percent: float, fault: str = "F14"
) -> Case:
    values = {"price": price, "open": price, "high": price, "low": price, "before": before}
    sees = at(price, "Tue", fields={"change": change, "change_percent": percent, "previous_close": before})
    return Case(
        name,
        fault,
        [Look("Tue 10:30", page(("set", "ABS", values)))],
        {"*": was("Tue 10:30"), "ABS": sees},
        **ANYHOW,
    )  # type: ignore[arg-type]  # fields of Case


F14 = [
    rounded("a change of minus nothing", 1999.95, 2000.0, -0.05, 0.0),
    rounded("no change at all", 2000.0, 2000.0, 0.0, 0.0),
    rounded("half a hundredth is rounded up", 200.01, 200.0, 0.01, 0.01),
    rounded("half a hundredth is rounded away from nothing", 199.99, 200.0, -0.01, -0.01),
    rounded("half of an even hundredth is rounded up", 200.05, 200.0, 0.05, 0.03),
    rounded("a binary fraction", 231.6, 229.0, 2.6, 1.14),
    rounded("four decimals", 0.0125, 0.0124, 0.0001, 0.81),
]

GOOD = {
    "84,1900": 84.19,
    "84,19": 84.19,
    " 84,19 ": 84.19,
    "84,190000": 84.19,
    "+84,19": 84.19,
}
BAD = (
    "84.1900", "8419E-2", "8,419e1", "NaN", "nan", "Infinity", "∞", "٨٤,١٩", "８４,１９", "84,1\u200b9", "84\u200b,19", "-84,19",
    "\u221284,19", "0", "0,00", "84,", ",19", "84,,19", "84,19,00", "~84,19", "84,19*", "84,19 zł", "84,19 / 84,20", "b.d.",
    "8 4,19", "1.984,19", "84'19", "84,19%", "x", "???", "1e400", "99999999999,00",
)  # fmt: skip

CELLS = [
    *(
        Case(
            f"the price is written {text!r}",
            "held",
            [Look("Tue 10:30", page(("cell", "ABS", {"price": text})))],
            {"*": was("Tue 10:30"), "ABS": at(price, "Tue")},
        )
        for text, price in GOOD.items()
    ),
    *(
        Case(
            f"the price is written {text!a}",
            "held",
            [Look("Tue 10:30", page(("cell", "ABS", {"price": text})))],
            {"*": was("Tue 10:30"), "ABS": ABSENT},
            **ANYHOW,  # type: ignore[arg-type]  # fields of Case
        )
        for text in BAD
    ),
    *(
        Case(
            f"the volume is written {text!a}",
            "held",
            [Look("Tue 10:30", page(("cell", "ABS", {"volume": text})))],
            {"*": was("Tue 10:30"), "ABS": at(84.19, "Tue", fields={"volume": 1180})},
        )
        for text in ("1180", "1 180", "1\u00a0180", "1\u202f180", "1\u2009180")
    ),
    *(
        Case(
            f"the volume is written {text!a}",
            "held",
            [Look("Tue 10:30", page(("cell", "ABS", {"volume": text})))],
            {"*": was("Tue 10:30"), "ABS": ABSENT},
            **ANYHOW,  # type: ignore[arg-type]  # fields of Case
        )
        for text in ("1,180", "1.180", "1180,0", "11 80", "-1180", "1180 szt.", "1,2 tys.")
    ),
]

F15 = [
    Case(
        "a reference price that is corrected without a trade",
        "F15",
        [
            Look("Tue 10:30", page(("set", "ABS", {"before": 80}))),
            *looks("Tue 10:31", "Tue 10:36", gpw=page(of="Tue 10:30")),
        ],
        {
            "*": was("Tue 10:30"),
            "ABS": at(
                84.19,
                "Tue",
                review="corrected|confirmed|None",
                fields={"previous_close": 85.0, "change": -0.81, "change_percent": -0.95},
            ),
        },
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
]

STAMP = {"symbol": "ABS", "timestamp": "2026-07-21T08:10:00Z"}


def own(name: str, given: dict[str, Any], sees: Sees, fault: str = "F21") -> Case:
    return Case(
        name,
        fault,
        [Look("Tue 10:30", mine=(STAMP | given,))],
        {"ABS": sees},
        order=("mine",),
        universe=("ABS",),
        **ANYHOW,
    )  # type: ignore[arg-type]  # fields of Case


F21 = [
    own("a sum of binary fractions", {"price": 0.1 + 0.2}, at(0.3, "Tue")),
    own(
        "minus nothing",
        {"price": 80.0, "change": -0.0, "change_percent": -0.0},
        at(80.0, "Tue", fields={"change": 0.0}),
    ),
    own(
        "a change that is not that of its prices",
        {"price": 229.0, "previous_close": 231.6, "change": 5.0, "change_percent": 50.0},
        at(229.0, "Tue", fields={"change": -2.6, "change_percent": -1.12}),
    ),
    own(
        "a change alone is told as it is",
        {"price": 80.0, "change": 1.5},
        at(80.0, "Tue", fields={"change": 1.5}),
        "held",
    ),
    own("not a number", {"price": float("nan")}, ABSENT, "held"),
    own("infinite", {"price": float("inf")}, ABSENT, "held"),
    own("a text", {"price": "80.00"}, ABSENT, "held"),
    own("true", {"price": True}, ABSENT, "held"),
    own("nothing", {"price": None}, ABSENT, "held"),
    own("an integer", {"price": 80}, at(80.0, "Tue"), "held"),
    own("a time without its zone", {"price": 80.0, "timestamp": "2026-07-21T08:10:00"}, ABSENT, "held"),
    own("tomorrow", {"price": 80.0, "timestamp": "2026-07-22T08:10:00Z"}, ABSENT, "held"),
]

CASES = [*F14, *CELLS, *F15, *F21]
