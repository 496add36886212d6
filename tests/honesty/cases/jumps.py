"""Values that are unlikely: one stock is news, a page full of them is a broken page."""

from __future__ import annotations

from tests.honesty.case import DOWN, Case, Edit, Look, Sees, at, looks, old, page, was

CLOSE = Look("Mon 17:22")
ANYHOW = {"warns": None, "alerts": None}
BOTH = ("gpw", "bankier")
HELD_BACK = was("Mon 17:22", stale=None, reason="rejected")
KEPT = was("Mon 17:22", stale=None, reason="any")


def whole_page(name: str, *edits: Edit, recorded: str = "Mon 17:22", asked: str = "Tue 10:30") -> Case:
    """A page that is wrong as a whole: refused, and the quotes stay what they were."""
    return Case(
        name,
        "F3",
        [Look(recorded), Look(asked, page(*edits))],
        {"*": was(recorded, stale=None, reason="any")},
        refused={"gpw": "format_changed"},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    )


ALIKE: Edit = ("set", "*", {"price": 10, "open": 10, "high": 10, "low": 10, "before": 10, "volume": 0})
LAST_DAY = {"price": 10, "open": 10, "high": 10, "low": 10}

PAGES = [
    whole_page("the first page of the day in grosze", ("scale", "*", 100)),
    whole_page("the first page of the day a hundred times too low", ("scale", "*", 0.01)),
    whole_page("ten times too high", ("scale", "*", 10)),
    whole_page("in grosze within the day", ("scale", "*", 100), recorded="Tue 10:00"),
    whole_page("a quarter of the page in grosze", ("scale", "#20", 100)),
    whole_page("every price is 10,00", ALIKE),
    whole_page("every price is 10,00 within the day", ALIKE, recorded="Tue 10:00"),
    whole_page("every price is 10,00, with volumes", ("set", "*", LAST_DAY), recorded="Tue 10:00"),
    whole_page("every reference price a fifth", ("scale", "*", 0.2, ("before",))),
    Case(
        "every price is 10,00 at a first start",
        "F3",
        [Look("Tue 10:30", page(ALIKE))],
        {"*": Sees(None)},
        refused={"gpw": "format_changed"},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "the fallback is in grosze",
        "F3",
        [Look("Tue 10:30"), *looks("Tue 10:31", "Tue 10:40", gpw=DOWN, bankier=page(("scale", "*", 100)))],
        {"*": old("Tue 10:30", "any")},
        refused={"gpw": "unreachable", "bankier": "format_changed"},
        warns=None,
        alerts=("stale",),
        order=BOTH,
    ),
    Case(
        "the fallback disagrees with everything",
        "F3",
        [
            Look("Tue 10:30"),
            *looks(
                "Tue 10:31",
                "Tue 10:40",
                gpw=DOWN,
                bankier=page(("scale", "*", 1.05), ("scale", "*", 0.92, ("before",))),
            ),
        ],
        {"*": old("Tue 10:30", "any")},
        refused={"gpw": "unreachable", "bankier": "format_changed"},
        warns=None,
        alerts=("stale",),
        order=BOTH,
    ),
    Case(
        "one stock of the fallback is in grosze",
        "F3",
        [
            Look("Tue 10:30"),
            Look("Tue 10:32", DOWN, bankier=page(("scale", "ABS", 100))),
            Look("Tue 10:34", DOWN, bankier=page(("scale", "ABS", 100))),
        ],
        {"*": was("Tue 10:34"), "ABS": was("Tue 10:30", stale=None, reason="any")},
        refused={"gpw": "unreachable"},
        order=BOTH,
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "three stocks in grosze among many",
        "F3",
        [CLOSE, Look("Tue 10:30", page(("scale", "ABS,11B,AMB", 100, ("price", "open", "high", "low"))))],
        {"*": was("Tue 10:30"), "ABS": HELD_BACK, "11B": HELD_BACK, "AMB": HELD_BACK},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a page in grosze, then a right one",
        "F3",
        [CLOSE, Look("Tue 10:30", page(("scale", "*", 100))), Look("Tue 12:30")],
        {"*": was("Tue 12:30")},
        alerts=None,
    ),
    Case(
        "a day on which everything falls by a tenth is news",
        "held",
        [CLOSE, Look("Tue 10:30", page(("scale", "*", 0.9, ("price", "open", "high", "low"))))],
        {"ABS": at(75.771, "Tue"), "11B": at(198.684, "Tue")},
        alerts=None,
    ),
]

JUMP = page(("set", "ABS", {"price": 34}))
LEAP = page(("set", "ABS", {"price": 144.5, "high": 146}))
MEG = page(("set", "ABS", {"price": 145.3, "open": 145, "high": 148, "low": 141}))

STOCKS = [
    Case(
        "a fall of 60 % is held back at first",
        "F3",
        [CLOSE, Look("Tue 10:30", JUMP)],
        {"*": was("Tue 10:30"), "ABS": HELD_BACK},
        **ANYHOW,
    ),  # type: ignore[arg-type]  # fields of Case
    Case(
        "a fall of 60 % is still held back at the second look",
        "F3",
        [CLOSE, *looks("Tue 10:30", "Tue 10:31", gpw=JUMP)],
        {"*": was("Tue 10:31"), "ABS": HELD_BACK},
        **ANYHOW,
    ),  # type: ignore[arg-type]  # fields of Case
    *(
        Case(
            f"{name} is taken when it stays",
            "F3",
            [CLOSE, *looks("Tue 10:30", "Tue 10:32", gpw=shown)],
            {"*": was("Tue 10:32"), "ABS": at(price, "Tue", review="confirmed")},
            **ANYHOW,  # type: ignore[arg-type]  # fields of Case
        )
        for name, shown, price in (
            ("a fall of 60 %", JUMP, 34.0),
            ("a rise of 70 %", LEAP, 144.5),
            ("a gap at the opening", MEG, 145.3),
        )
    ),
    Case(
        "a fall of 60 % within the day is taken when it stays",
        "F3",
        [Look("Tue 10:22"), *looks("Tue 10:23", "Tue 10:25", gpw=JUMP)],
        {"*": was("Tue 10:25"), "ABS": at(34.0, "Tue", review="confirmed")},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "after a gap the day goes on without a mark",
        "F3",
        [
            CLOSE,
            *looks("Tue 10:30", "Tue 10:34", gpw=MEG),
            Look("Tue 10:50", page(("set", "ABS", {"price": 146, "open": 145, "high": 148, "low": 141}))),
        ],
        {"*": was("Tue 10:50"), "ABS": at(146.0, "Tue")},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a gap that keeps moving is still the market",
        "F3",
        [
            CLOSE,
            *(
                Look(
                    f"Tue 10:{30 + n}",
                    page(
                        (
                            "set",
                            "ABS",
                            {
                                "price": 144 + n / 2,
                                "open": 145,
                                "high": 148,
                                "low": 141,
                                "at": f"10:{14 + n}:00",
                                "volume": 2000 + 10 * n,
                            },
                        )
                    ),
                )
                for n in range(5)
            ),
        ],
        {"*": was("Tue 10:34"), "ABS": at(146.0, "Tue", review="confirmed|None")},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "one wild look is never shown",
        "F3",
        [Look("Tue 10:30"), Look("Tue 10:31", JUMP), Look("Tue 10:32"), Look("Tue 10:50")],
        {"*": was("Tue 10:50"), "ABS": was("Tue 10:50")},
    ),
    Case(
        "a jump that the other provider reports too is taken at once",
        "F3",
        [CLOSE, Look("Tue 10:30", JUMP), Look("Tue 10:31", DOWN, JUMP)],
        {"ABS": at(34.0, "Tue", review="confirmed")},
        refused={"gpw": "unreachable"},
        order=BOTH,
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a jump that the other provider denies is not taken at once",
        "F3",
        [Look("Tue 10:30"), Look("Tue 10:32", JUMP)],
        {"*": was("Tue 10:32"), "ABS": was("Tue 10:32|Tue 10:30", stale=None, reason="any")},
        order=BOTH,
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "49 % is no jump",
        "held",
        [CLOSE, Look("Tue 10:30", page(("set", "ABS", {"price": 44.0})))],
        {"*": was("Tue 10:30"), "ABS": at(44.0, "Tue")},
        alerts=("below",),
    ),
    Case(
        "the limit is the user's",
        "held",
        [CLOSE, Look("Tue 10:30", page(("set", "ABS", {"price": 70.0})))],
        {"*": was("Tue 10:30", stale=None, reason="any"), "ABS": HELD_BACK},
        jump_limit=15.0,
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    *(
        Case(
            f"the night of {name}",
            "held",
            [CLOSE, Look("Tue 10:30", page(("scale", "ABS", factor)))],
            {"*": was("Tue 10:30"), "ABS": at(price, "Tue", fields={"change_percent": -0.95})},
        )
        for name, factor, price in (
            ("a split 5:1", 0.2, 16.838),
            ("a reverse split 1:4", 4, 336.76),
            ("a dividend", 0.94, 79.1386),
        )
    ),
    Case(
        "prices below one zloty move by ticks",
        "F3",
        [
            Look(
                "Mon 17:22",
                page(
                    ("set", "ABS", {"price": 0.02, "open": 0.02, "high": 0.02, "low": 0.02, "before": 0.02})
                ),
            ),
            Look(
                "Tue 10:30",
                page(
                    ("set", "ABS", {"price": 0.04, "open": 0.03, "high": 0.04, "low": 0.03, "before": 0.02})
                ),
            ),
        ],
        {"*": was("Tue 10:30"), "ABS": at(0.04, "Tue")},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "forty ticks below one zloty are a jump",
        "F3",
        [
            Look(
                "Mon 17:22",
                page(("set", "ABS", {"price": 0.3, "open": 0.3, "high": 0.3, "low": 0.3, "before": 0.3})),
            ),
            Look(
                "Tue 10:30",
                page(("set", "ABS", {"price": 0.7, "open": 0.7, "high": 0.7, "low": 0.7, "before": 0.3})),
            ),
        ],
        {"*": was("Tue 10:30"), "ABS": at(0.3, "Mon", stale=None, reason="rejected")},
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
]

CASES = [*PAGES, *STOCKS]
