"""Rows that are missing, unreadable, renamed, or contradict themselves: which stock, and why."""

from __future__ import annotations

from tests.honesty.case import ABSENT, Case, Edit, Look, looks, maybe, old, page, was

CLOSE = Look("Mon 17:22")
DAY = ("Tue 09:20", "Tue 16:00", 20)
OTHER_ISIN = "PLOPTTC00011"


def all_day(name: str, reason: str, *edits: Edit, fault: str = "F2", **fields: object) -> Case:
    """A stock of which no row can be used, from the opening on: its price of yesterday is old, and why is told."""
    return Case(
        name,
        fault,
        [CLOSE, *looks(*DAY, gpw=page(*edits))],
        {"*": was("Tue 16:00"), "ABS": old("Mon 17:22", reason)},
        **{"warns": ("ABS",), "alerts": ("stale",), **fields},  # type: ignore[arg-type]  # fields of Case
    )


UNREADABLE = {
    "a letter in the price": {"price": "8O,10"},
    "no such time": {"time": "25:61:00"},
    "a word for the volume": {"volume": "dużo"},
    "a price above the high": {"price": "99,0000", "percent": "16,47"},
    "a price below the low": {"price": "50,0000", "percent": "-41,18"},
    "an open above the high": {"open": "120,0000"},
    "a low above the high": {"low": "95,0000"},
    "a negative price": {"price": "-84,1900"},
    "a price of 0": {"price": "0,0000"},
}

F2 = [
    *(all_day(name, "unreadable|rejected", ("cell", "ABS", cells)) for name, cells in UNREADABLE.items()),
    all_day("a row that is gone", "missing", ("drop", "ABS")),
    all_day("a ticker that is another one now", "missing|renamed", ("as", "ABS", "ABX")),
    all_day(
        "a ticker of another company now", "renamed", ("cell", "ABS", {"isin": OTHER_ISIN, "name": "NOWA"})
    ),
    all_day("a stock in euros now", "missing|renamed", ("cell", "ABS", {"currency": "EUR"})),
    Case(
        "a price that no two looks agree on",
        "F2",
        [
            CLOSE,
            *(
                Look(f"Tue {10 + n // 3:02}:{n % 3 * 20:02}", page(("set", "ABS", {"price": price})))
                for n, price in enumerate([34, 250, 12, 190, 30, 300, 20, 220, 10, 400])
            ),
        ],
        {"*": was("Tue 13:00"), "ABS": old("Mon 17:22", "rejected")},
        warns=("ABS",),
        alerts=("stale",),
    ),
    Case(
        "gone since Tuesday, on the next Monday",
        "F2",
        [
            CLOSE,
            *(
                Look(f"{day} {hour}:00", page(("drop", "ABS")))
                for day in ("Tue", "Wed", "Thu", "Fri+", "Mon+")
                for hour in (10, 13, 16)
            ),
        ],
        {"*": was("Mon+ 16:00"), "ABS": old("Mon 17:22", "missing")},
        warns=("ABS",),
        alerts=("stale",),
    ),
    Case(
        "gone at noon",
        "held",
        [*looks("Tue 10:30", "Tue 11:00", 5), *looks("Tue 11:05", "Tue 11:25", 2, gpw=page(("drop", "ABS")))],
        {"*": was("Tue 11:25"), "ABS": old("Tue 11:00", "missing")},
        warns=None,
        alerts=("stale",),
    ),
    Case(
        "unreadable at noon",
        "held",
        [
            *looks("Tue 10:30", "Tue 11:00", 5),
            *looks("Tue 11:05", "Tue 11:25", 2, gpw=page(("cell", "ABS", {"price": "?"}))),
        ],
        {"*": was("Tue 11:25"), "ABS": old("Tue 11:00", "unreadable")},
        warns=None,
        alerts=("stale",),
    ),
    *(
        Case(
            f"right again after {name}",
            "F2",
            [CLOSE, *looks("Tue 09:20", "Tue 12:00", 20, gpw=page(edit)), *looks("Tue 12:01", "Tue 12:05")],
            {"*": was("Tue 12:05"), "ABS": was("Tue 12:05")},
            alerts=None,
        )
        for name, edit in {
            "it was gone": ("drop", "ABS"),
            "it was unreadable": ("cell", "ABS", {"price": "8O,10"}),
            "it was another company's": ("cell", "ABS", {"isin": OTHER_ISIN}),
        }.items()
    ),
    Case(
        "a restart does not make it fresh",
        "F2",
        [
            CLOSE,
            *looks("Tue 09:20", "Tue 12:00", 20, gpw=page(("drop", "ABS"))),
            *looks("Tue 12:01", "Tue 12:09", 2, gpw=page(("drop", "ABS")), order=("gpw",))[:1],
            *looks("Tue 12:03", "Tue 12:09", 2, gpw=page(("drop", "ABS"))),
        ],
        {"*": was("Tue 12:09"), "ABS": old("Mon 17:22", "missing|silent")},
        warns=None,
        alerts=None,
    ),
    Case(
        "a stock that is suspended all day",
        "held",
        [CLOSE, *looks(*DAY, gpw=page(("untraded", "ABS")))],
        {"*": was("Tue 16:00"), "ABS": was("Mon 17:22", reason="not_traded")},
    ),
    Case(
        "three stocks, three reasons",
        "F2",
        [
            CLOSE,
            *looks(*DAY, gpw=page(("drop", "AMB"), ("cell", "ABS", {"price": "?"}), ("untraded", "APT"))),
        ],
        {
            "*": was("Tue 16:00"),
            "AMB": old("Mon 17:22", "missing"),
            "ABS": old("Mon 17:22", "unreadable"),
            "APT": was("Mon 17:22", reason="not_traded"),
        },
        warns=("ABS", "AMB"),
        alerts=("stale",),
    ),
]

FIRST = {"warns": None, "alerts": None}


def first(name: str, *edits: Edit, fault: str = "F9") -> Case:
    """A row that contradicts itself at a first start: no quote."""
    return Case(
        name, fault, [Look("Tue 10:30", page(*edits))], {"*": was("Tue 10:30"), "ABS": ABSENT}, **FIRST
    )  # type: ignore[arg-type]  # fields of Case


def refused(name: str, *edits: Edit, fault: str = "F9", before: bool = True) -> Case:
    """A page that contradicts itself: nothing of it is taken."""
    played = [*([CLOSE] if before else []), Look("Tue 10:30", page(*edits))]
    sees = was("Mon 17:22", stale=None, reason="any") if before else ABSENT
    return Case(name, fault, played, {"*": sees}, refused={"gpw": "format_changed"}, **FIRST)  # type: ignore[arg-type]  # fields of Case


F9 = [
    first("a reference price that the percent cell contradicts", ("cell", "ABS", {"before": "172,4000"})),
    first("a price that the percent cell contradicts", ("cell", "ABS", {"percent": "12,50"})),
    first("a change of the wrong sign", ("cell", "ABS", {"percent": "0,95"})),
    first("traded without any volume", ("cell", "ABS", {"volume": "0"})),
    first("traded without any volume or trade", ("cell", "ABS", {"volume": "0", "trades": "0"})),
    first("two rows with two prices", ("again", "ABS", {"price": "85,5000", "percent": "0,59"})),
    first("two rows with two times", ("again", "ABS", {"time": "10:01:00"})),
    first("two rows with two volumes", ("again", "ABS", {"volume": "900"})),
    Case(
        "two rows that are alike",
        "held",
        [Look("Tue 10:30", page(("again", "ABS", {})))],
        {"*": was("Tue 10:30")},
    ),
    Case(
        "a percent that is rounded down",
        "held",
        [Look("Tue 10:30", page(("cell", "ABS", {"percent": "-0,96"})))],
        {"*": was("Tue 10:30")},
    ),
    Case(
        "no percent is no contradiction",
        "held",
        [Look("Tue 10:30", page(("cell", "ABS", {"percent": "-"})))],
        {"*": was("Tue 10:30")},
    ),
    Case(
        "no reference price",
        "held",
        [Look("Tue 10:30", page(("cell", "ABS", {"before": "-", "percent": "-"})))],
        {
            "*": was("Tue 10:30"),
            "ABS": was("Tue 10:30", fields={"previous_close": None, "change_percent": None}),
        },
    ),
    refused(
        "the headers of reference price and open are swapped",
        ("header", {"Kurs odn.": "Kurs otw.", "Kurs otw.": "Kurs odn."}),
    ),
    refused(
        "the same, at a first start",
        ("header", {"Kurs odn.": "Kurs otw.", "Kurs otw.": "Kurs odn."}),
        before=False,
    ),
    Case(
        "the headers of low and high are swapped",
        "F9",
        [CLOSE, Look("Tue 10:30", page(("header", {"Kurs min.": "Kurs maks.", "Kurs maks.": "Kurs min."})))],
        {"*": was("Mon 17:22|Tue 10:30", stale=None, reason="any")},
        refused=None,
        **FIRST,  # type: ignore[arg-type]  # fields of Case
    ),
    refused("a column is gone", ("header", {"Kurs ost. trans. / zamk.": "Kurs"})),
    refused("a header twice", ("header", {"TKO": "Kurs otw."})),
    Case(
        "bankier's change holds percent",
        "F9",
        [
            CLOSE,
            Look(
                "Tue 10:30",
                bankier=page(("header", {"Zm.": "Zm. x", "Zm. (%)": "Zm."}), ("text", "%</td>", "</td>")),
                order=("bankier",),
            ),
        ],
        {"*": was("Mon 17:22", stale=None, reason="any")},
        refused={"bankier": "format_changed"},
        **FIRST,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "stooq's ninth column is another than the previous close",
        "F9",
        [
            Look(
                "Tue 12:30",
                bodies={
                    "stooq": "Symbol,Data,Czas,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen,LOP\r\n"
                    "ABS,2026-07-21,12:10:00,84,86,83,85,1200,40\r\n"
                },
            )
        ],
        {
            "ABS": maybe(
                was(
                    "Tue 12:30",
                    fields={
                        "price": 85.0,
                        "volume": 1200,
                        "open": 84.0,
                        "clock": "12:10",
                        "previous_close": None,
                        "change_percent": None,
                    },
                )
            )
        },
        refused=None,
        warns=None,
        order=("stooq",),
        universe=("ABS",),
    ),
]

CASES = [*F2, *F9]
