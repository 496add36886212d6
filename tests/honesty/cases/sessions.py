"""Which session a page shows: by all that is known, never by a guess."""

from __future__ import annotations

from tests.honesty.case import DOWN, Case, Look, looks, maybe, old, page, was

CLOSE = Look("Mon 17:22")
MONDAY = page(of="Mon 17:22")
OLD = old("Mon 17:22", "unchanged|silent")
USUAL: dict[str, object] = {"refused": None, "warns": None, "alerts": ("stale",)}
COPY = {"Age": "86000", "Last-Modified": "Mon, 20 Jul 2026 15:20:00 GMT"}

_HEADERS = {
    "with no more evidence": {},
    "with Age": {"Age": "86000"},
    "with Last-Modified": {"Last-Modified": COPY["Last-Modified"]},
    "with Age and Last-Modified": COPY,
}


def yesterday(name: str, *more: Look, **fields: object) -> Case:
    """Monday's page on Tuesday: its quotes stay Monday's, and are said to be old."""
    return Case(name, "F1", [CLOSE, *more], {"*": OLD}, **{**USUAL, **fields})  # type: ignore[arg-type]  # fields of Case


F1 = [
    *(
        yesterday(f"yesterday's page at {at} {name}", Look(f"Tue {at}", MONDAY, headers=headers))
        for at in ("17:06", "17:10", "17:24")
        for name, headers in _HEADERS.items()
    ),
    yesterday(
        "yesterday's page at 17:10 from a source that tells no Date", Look("Tue 17:10", MONDAY, date=None)
    ),
    yesterday("yesterday's page with yesterday's Date", Look("Tue 17:10", MONDAY, date="Mon 17:22")),
    yesterday("yesterday's page after a restart", Look("Tue 17:10", MONDAY, order=("gpw",))),
    yesterday(
        "frozen overnight, asked all day",
        *looks("Tue 09:20", "Tue 17:20", 30, gpw=MONDAY),
        Look("Tue 17:24", MONDAY),
    ),
    yesterday("a closure that the calendar does not know", *looks("Tue 08:40", "Tue 17:10", 90, gpw=MONDAY)),
    yesterday(
        "yesterday's listing of bankier at 17:10",
        Look("Tue 17:10", bankier=MONDAY),
        order=("bankier",),
    ),
    yesterday(
        "gpw is down and bankier shows yesterday",
        *looks("Tue 17:06", "Tue 17:12", 2, gpw=page(of="Mon 17:22"), bankier=MONDAY),
        order=("gpw", "bankier"),
    ),
    Case(
        "a first start at 17:10 that meets yesterday's page",
        "F1",
        [Look("Tue 17:10", MONDAY)],
        {"*": maybe(OLD)},
        refused=None,
        warns=None,
        alerts=None,
    ),
    Case(
        "a first start at 17:10 that meets an old copy",
        "F1",
        [Look("Tue 17:10", MONDAY, headers=COPY)],
        {"*": maybe(OLD)},
        refused=None,
        warns=None,
        alerts=None,
    ),
    Case(
        "a closure in the settings",
        "F1",
        [CLOSE, *looks("Tue 08:40", "Tue 17:10", 90, gpw=MONDAY)],
        {"*": was("Mon 17:22")},
        extra_closed=("2026-07-21",),
    ),
    Case(
        "yesterday's page at 17:11, when today's quotes are known",
        "F1",
        [CLOSE, Look("Tue 16:20"), Look("Tue 16:45"), *looks("Tue 17:11", "Tue 17:19", 2, gpw=MONDAY)],
        {"*": old("Tue 16:45", "any")},
        **USUAL,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "gpw dies and bankier shows yesterday's morning",
        "F1",
        [
            CLOSE,
            Look("Tue 09:30"),
            *looks("Tue 09:44", "Tue 09:50", 2, gpw=DOWN, bankier=page(of="Mon 10:00")),
        ],
        {"*": old("Tue 09:30", "any")},
        order=("gpw", "bankier"),
        **USUAL,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "one old answer that another provider gave earlier takes nothing back",
        "F1",
        [
            Look("Mon 10:00", DOWN),
            *looks("Mon 10:01", "Mon 10:04"),
            Look("Mon 10:05", page(of="Mon 10:00"), expect={"*": was("Mon 10:04", stale=None, reason="any")}),
            *looks("Mon 10:06", "Mon 10:07"),
        ],
        {"*": was("Mon 10:07")},
        warns=None,
        alerts=None,
        order=("gpw", "bankier"),
    ),
    Case(
        "an old page, then the right one",
        "F1",
        [CLOSE, Look("Tue 17:10", MONDAY), Look("Tue 17:14")],
        {"*": was("Tue 17:14")},
        warns=None,
        alerts=None,
    ),
]

LIKE = was("Mon 17:22", reason="not_traded|None")
UNTRADED = {"open": "-", "volume": "0", "trades": "0", "percent": "0,00"}
FIRST_16 = (
    "11B",
    "1AT",
    "ABS",
    "ACG",
    "AGO",
    "ALL",
    "AMB",
    "AMC",
    "ANR",
    "APT",
    "ARH",
    "AST",
    "ATC",
    "BCX",
    "BIO",
    "BLO",
)
FIVE = ("11B", "ABS", "AMB", "APT", "ASE")
ANYHOW = {"refused": None, "warns": None, "alerts": None}

F6 = [
    Case(
        "sixteen rows still show yesterday's trades",
        "F6",
        [CLOSE, Look("Tue 10:30", page(("of", "#16", "Mon 17:22")))],
        {"*": was("Tue 10:30"), **dict.fromkeys(FIRST_16, LIKE)},
    ),
    Case(
        "sixteen rows still show yesterday's trades, at a first start",
        "F6",
        [Look("Tue 10:30", page(("of", "#16", "Mon 17:22")))],
        {"*": maybe(was("Tue 10:30")), **dict.fromkeys(FIRST_16, maybe(was("Mon 17:22", reason="any")))},
        **ANYHOW,
    ),
    Case(
        "one stock of today on yesterday's page",
        "F6",
        [CLOSE, Look("Tue 09:20", page(("of", "-11B", "Mon 17:22")))],
        {"*": LIKE, "11B": was("Tue 09:20")},
    ),
    Case(
        "one stock of today on yesterday's page, at a first start",
        "F6",
        [Look("Tue 09:20", page(("of", "-11B", "Mon 17:22")))],
        {"*": maybe(was("Mon 17:22", reason="any")), "11B": maybe(was("Tue 09:20"))},
        **ANYHOW,
    ),
    Case(
        "bankier's list with one old time in a universe of five",
        "F6",
        [CLOSE, Look("Tue 10:30", bankier=page(("of", "ABS", "Mon 17:22")), order=("bankier",))],
        {"11B": was("Tue 10:30"), "AMB": was("Tue 10:30"), "APT": was("Tue 10:30"), "ABS": LIKE},
        universe=FIVE,
    ),
    *(
        Case(
            f"a row without a trade today keeps the time {clock} ({name})",
            "F6",
            [
                CLOSE,
                Look("Tue 10:30", page(("of", "ABS", "Mon 17:22"), ("cell", "ABS", cells | {"time": clock}))),
                Look("Tue 15:00", page(("of", "ABS", "Mon 17:22"), ("cell", "ABS", cells | {"time": clock}))),
            ],
            {"*": was("Tue 15:00"), "ABS": LIKE},
        )
        for clock in ("14:05:00", "09:40:00", "16:49:59")
        for name, cells in {
            "volume 0": UNTRADED,
            "dashes": {**UNTRADED, "volume": "-", "trades": "-", "percent": "-"},
        }.items()
    ),
    Case(
        "a row without a trade today keeps an old time, at a first start",
        "F6",
        [Look("Tue 15:00", page(("cell", "ABS", {**UNTRADED, "low": "-", "high": "-", "time": "14:05:00"})))],
        {"*": was("Tue 15:00"), "ABS": maybe(was("Mon 17:22", reason="any"))},
        warns=None,
    ),
]


def ordinary(name: str, *played: Look, to: str | None = None, **fields: object) -> Case:
    """Nothing is wrong: everything is fresh, and nothing is warned of."""
    return Case(name, "held", played, {"*": was(to or played[-1].at)}, **fields)  # type: ignore[arg-type]  # fields of Case


HELD = [
    *(
        ordinary(f"the table of {at}", Look(at))
        for at in ("Tue 09:20", "Tue 10:30", "Tue 12:00", "Tue 16:40")
    ),
    *(
        ordinary(f"the table of {at}", Look(at))
        for at in ("Tue 16:58", "Tue 17:04", "Tue 17:16", "Tue 17:22")
    ),
    *(
        ordinary(f"bankier's list of {at}", Look(at), order=("bankier",))
        for at in ("Tue 09:20", "Tue 13:00", "Tue 17:22")
    ),
    ordinary("a whole day", *looks("Tue 08:45", "Tue 17:20", 15), Look("Tue 17:24")),
    ordinary("two days and a night", CLOSE, *looks("Tue 08:45", "Tue 17:20", 60), Look("Wed 10:00")),
    ordinary("before the opening", CLOSE, Look("Tue 08:40"), to="Mon 17:22"),
    ordinary("in the first quarter of an hour", CLOSE, Look("Tue 09:05"), to="Mon 17:22"),
    ordinary("Monday before the opening", Look("Fri 17:22"), Look("Mon 08:40"), to="Fri 17:22"),
    ordinary("a first start before the opening", Look("Tue 08:40"), to="Mon 17:22"),
    ordinary("a first start in the first quarter of an hour", Look("Tue 09:10"), to="Mon 17:22"),
    ordinary("a first start on Saturday", Look("Sat 12:00"), to="Fri 17:22"),
    ordinary("a first start on Sunday evening", Look("Sun 22:00"), to="Fri 17:22"),
    ordinary("a first start at night", Look("Tue 23:10"), to="Tue 17:22"),
    ordinary("a first start after midnight", Look("Tue 00:10"), to="Mon 17:22"),
    ordinary("a first start on Corpus Christi", Look("2026-06-04 12:00"), to="2026-06-03 17:22"),
    ordinary("the day after Corpus Christi", Look("2026-06-05 09:05"), to="2026-06-03 17:22"),
    ordinary("the last session before Christmas", Look("2026-12-23 10:30")),
    ordinary("the Monday after the clocks went forward", Look("2026-03-30 10:30")),
    ordinary("the Monday after the clocks went back", Look("2026-10-26 10:30")),
    ordinary(
        "the first morning after the clocks went back",
        Look("2026-10-23 17:22"),
        Look("2026-10-26 09:05"),
        to="2026-10-23 17:22",
    ),
    ordinary("a source that is slow to show the opening", CLOSE, Look("Tue 09:19", MONDAY), to="Mon 17:22"),
    Case(
        "a stock without a trade today",
        "held",
        [CLOSE, Look("Tue 10:30")],
        {"*": was("Tue 10:30"), "MLG": LIKE},
    ),
    Case(
        "a stock without a trade today, at a first start",
        "held",
        [Look("Tue 10:30")],
        {"*": was("Tue 10:30"), "MLG": maybe(was("Mon 17:22", reason="any"))},
    ),
    Case(
        "a stock that begins to trade at one",
        "held",
        [CLOSE, Look("Tue 10:30"), Look("Tue 13:30")],
        {"*": was("Tue 13:30"), "MLG": was("Tue 13:30")},
    ),
]

CASES = [*F1, *F6, *HELD]
