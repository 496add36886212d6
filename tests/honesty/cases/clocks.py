"""Clocks that are wrong, copies that are old, and times at which the exchange does not trade."""

from __future__ import annotations

from tests.honesty import exchange
from tests.honesty.case import ABSENT, DOWN, Case, Look, at, looks, maybe, old, page, was

CLOSE = Look("Mon 17:22")
ANYHOW = {"refused": None, "warns": None, "alerts": None}
CLOCK = ("clock",)

F5 = [
    Case(
        "an hour slow, at a first start",
        "F5",
        [Look("Tue 09:50", true="Tue 10:50")],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=CLOCK,
    ),
    Case(
        "an hour slow, with yesterday recorded",
        "F5",
        [CLOSE, Look("Tue 09:50", true="Tue 10:50")],
        {"*": was("Mon 17:22", stale=None, reason="any")},
        refused={"gpw": "stale"},
        warns=CLOCK,
        alerts=None,
    ),
    Case(
        "an hour slow all day: nothing is dated wrongly",
        "F5",
        [
            Look(
                f"Tue {hour - 1:02}:50",
                true=f"Tue {hour:02}:50",
                expect={"*": maybe(was(f"Tue {hour:02}:50", stale=None, reason="any"))},
            )
            for hour in (10, 12, 14, 16)
        ],
        {"*": maybe(was("Tue 16:50", stale=None, reason="any"))},
        refused=None,
        warns=CLOCK,
        alerts=None,
    ),
    Case(
        "a quarter of an hour slow: only the newest trades are to come",
        "F5",
        [CLOSE, Look("Tue 10:33", true="Tue 10:50")],
        {"*": was("Tue 10:50|Mon 17:22", stale=None, reason="any")},
        refused=None,
        warns=CLOCK,
        alerts=None,
    ),
    Case(
        "three minutes slow: told, and no quote is lost",
        "F5",
        [Look("Tue 10:47", true="Tue 10:50")],
        {"*": was("Tue 10:50")},
        warns=CLOCK,
    ),
    Case(
        "three minutes fast: told, and no quote is lost",
        "F5",
        [Look("Tue 10:53", true="Tue 10:50")],
        {"*": was("Tue 10:50")},
        warns=CLOCK,
    ),
    Case(
        "half an hour fast: told, and no quote is lost",
        "F5",
        [Look("Tue 11:20", true="Tue 10:50")],
        {"*": was("Tue 10:50")},
        warns=CLOCK,
    ),
    *(
        Case(
            f"{seconds} seconds {word} is no matter",
            "held",
            [Look(f"Tue 10:{clock}", true="Tue 10:50:00")],
            {"*": was("Tue 10:50")},
        )
        for seconds, word, clock in (
            (60, "slow", "49:00"),
            (110, "slow", "48:10"),
            (60, "fast", "51:00"),
            (110, "fast", "51:50"),
        )
    ),
    Case(
        "a day slow",
        "F5",
        [Look("Mon 10:50", true="Tue 10:50")],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=CLOCK,
    ),
    Case(
        "a day fast",
        "F5",
        [Look("Wed 10:50", true="Tue 10:50")],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=CLOCK,
    ),
    Case(
        "a year slow",
        "F5",
        [Look("2025-07-22 10:50", true="Tue 10:50")],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=CLOCK,
    ),
    Case(
        "the source tells no Date, and its newest trade is to come",
        "F5",
        [Look("Tue 09:50", true="Tue 10:50", date=None)],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=None,
    ),
    Case(
        "an hour slow on the Monday after the clocks went back",
        "F5",
        [Look("2026-10-26 09:50", true="2026-10-26 10:50")],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=CLOCK,
    ),
    Case(
        "the source's clock is three hours behind",
        "F5",
        [CLOSE, Look("Tue 10:30", date="Tue 07:30")],
        {"*": was("Tue 10:30|Mon 17:22", stale=None, reason="any")},
        refused=None,
        warns=CLOCK,
        alerts=None,
    ),
    Case(
        "a clock set right again",
        "F5",
        [CLOSE, Look("Tue 09:50", true="Tue 10:50"), Look("Tue 10:54")],
        {"*": was("Tue 10:54")},
        alerts=None,
    ),
    Case(
        "a clock a day slow, set right: the page seen by the wrong clock is not dated by it",
        "F5",
        [Look("Mon 08:40", true="Tue 08:40"), Look("Tue 08:42")],
        {"*": was("Mon 17:22")},
        warns=None,
        alerts=None,
    ),
    Case(
        "bankier and a clock an hour slow",
        "F5",
        [Look("Tue 09:50", true="Tue 10:50")],
        {"*": ABSENT},
        refused={"bankier": "stale"},
        warns=CLOCK,
        order=("bankier",),
    ),
]

COPIES = [
    Case(
        f"a copy three hours old ({name})",
        "F4",
        [Look("Tue 10:30"), Look("Tue 13:30", page(of="Tue 10:30"), headers=headers)],
        {"*": old("Tue 10:30", "silent|unchanged")},
        refused={"gpw": "stale"},
        warns=None,
        alerts=("stale",),
    )
    for name, headers in {
        "Age": {"Age": "10800"},
        "Last-Modified": {"Last-Modified": "Tue, 21 Jul 2026 08:30:00 GMT"},
        "both": {"Age": "10800", "Last-Modified": "Tue, 21 Jul 2026 08:30:00 GMT"},
    }.items()
]
COPIES += [
    Case(
        "a copy three hours old, at a first start",
        "F4",
        [Look("Tue 13:30", page(of="Tue 10:30"), headers={"Age": "10800"})],
        {"*": ABSENT},
        refused={"gpw": "stale"},
        warns=None,
    ),
    *(
        Case(
            f"{name}: {value!r} is no evidence",
            "held",
            [CLOSE, Look("Tue 10:30", headers={name: value})],
            {"*": was("Tue 10:30")},
        )
        for name, value in (
            ("Age", "0"),
            ("Age", "45"),
            ("Age", "abc"),
            ("Age", "-5"),
            ("Age", "1.5e3"),
            ("Last-Modified", "yesterday"),
            ("Last-Modified", "Tue, 21 Jul 2026 08:30:00 GMT"),
            ("Last-Modified", ""),
            ("Date", "now"),
        )
    ),
]


def stooq(
    *rows: str, header: str = "Symbol,Data,Czas,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen,Prev"
) -> dict[str, str]:
    return {"stooq": "\r\n".join([header, *rows, ""])}


def one(name: str, when: str, row: str, **fields: object) -> Case:
    """A row of ABS that must not become a quote; 11B's is right."""
    day = exchange.day_of("Mon")
    right = f"11B,{day},17:02:48,216,219,215,218,4000,217"
    usual: dict[str, object] = {
        "refused": None,
        "warns": None,
        "alerts": None,
        "order": ("stooq",),
        "universe": ("ABS", "11B"),
    }
    return Case(name, "F10", [Look(when, bodies=stooq(right, row))], {"ABS": ABSENT}, **(usual | fields))  # type: ignore[arg-type]  # fields of Case


def yahoo(clock: str, price: float = 91.0) -> dict[str, str]:
    second = int(exchange.when(clock).timestamp())
    meta = (
        f'"symbol":"ABS.WA","currency":"PLN","regularMarketPrice":{price},"regularMarketTime":{second},'
        '"chartPreviousClose":86.2,"regularMarketDayHigh":91.0,"regularMarketDayLow":86.0,"regularMarketVolume":500'
    )
    return {"ABS": '{"chart":{"result":[{"meta":{' + meta + '}}],"error":null}}'}


def alpha(day: str, price: str = "86.8") -> dict[str, str]:
    values = {
        "01. symbol": "ABS.WAR",
        "02. open": "86.0",
        "03. high": "87.5",
        "04. low": "85.5",
        "05. price": price,
        "06. volume": "1200",
        "07. latest trading day": day,
        "08. previous close": "86.2",
        "09. change": "0.6",
        "10. change percent": "0.6961%",
    }
    return {"alpha_vantage": '{"Global Quote":{' + ",".join(f'"{k}":"{v}"' for k, v in values.items()) + "}}"}


def single(
    name: str, provider: str, when: str, bodies: dict[str, str], fault: str = "F10", **expect: object
) -> Case:
    sees = {"ABS": expect.get("sees", ABSENT)}
    return Case(
        name, fault, [Look(when, bodies=bodies)], sees, order=(provider,), universe=("ABS",), **ANYHOW
    )  # type: ignore[arg-type]  # one of Sees


F10 = [
    one(
        "stooq before the opening, with an indicative price",
        "Tue 09:04",
        "ABS,2026-07-21,08:47:00,B/D,B/D,B/D,91.00,0,86.2",
    ),
    one("stooq on a Saturday", "Mon 09:04", "ABS,2026-07-18,12:10:00,90,91,90,91.00,500,86.2"),
    one("stooq on Corpus Christi", "2026-06-05 09:04", "ABS,2026-06-04,12:10:00,90,91,90,91.00,500,86.2"),
    one("stooq at 22:00:21", "Tue 09:04", "ABS,2026-07-20,22:00:21,90,91,90,91.00,500,86.2"),
    one("stooq four minutes in the future", "Tue 10:30", "ABS,2026-07-21,10:34:00,90,91,90,91.00,500,86.2"),
    one("stooq in the closing call", "Tue 17:10", "ABS,2026-07-21,16:55:30,90,91,90,91.00,500,86.2"),
    one("stooq at 17:20", "Tue 17:24", "ABS,2026-07-21,17:20:00,90,91,90,91.00,500,86.2"),
    one(
        "stooq on a closure of the settings",
        "Tue 10:30",
        "ABS,2026-07-20,12:10:00,90,91,90,91.00,500,86.2",
        extra_closed=("2026-07-20",),
    ),
    single("yahoo before the opening", "yahoo", "Tue 09:04", yahoo("Tue 08:47")),
    single("yahoo on a Saturday", "yahoo", "Mon 09:04", yahoo("Sat 12:10")),
    single("yahoo four minutes in the future", "yahoo", "Tue 10:30", yahoo("Tue 10:34")),
    single("yahoo in the closing call", "yahoo", "Tue 17:10", yahoo("Tue 16:56")),
    single("yahoo, an hour in order", "yahoo", "Tue 12:30", yahoo("Tue 12:10"), "held", sees=at(91.0, "Tue")),
    single("alpha_vantage on a Saturday", "alpha_vantage", "Mon 10:00", alpha("2026-07-18")),
    single("alpha_vantage on Corpus Christi", "alpha_vantage", "2026-06-05 10:00", alpha("2026-06-04")),
    single("alpha_vantage, tomorrow", "alpha_vantage", "Tue 10:00", alpha("2026-07-22")),
    single(
        "alpha_vantage, the last close",
        "alpha_vantage",
        "Tue 10:00",
        alpha("2026-07-20"),
        "held",
        sees=at(86.8, "Mon", stale=None, reason="any", fields={"origin": "end_of_day"}),
    ),
    single(
        "Friday's close on Tuesday though Monday's was due",
        "alpha_vantage",
        "Tue 10:00",
        alpha("2026-07-17"),
        sees=at(86.8, "Fri", stale=True, reason="any", fields={"origin": "end_of_day"}),
    ),
    *(
        Case(
            f"{provider}: a trade at {clock}",
            "F10",
            [Look("Tue 17:22", **{provider: page(("cell", "ABS", {"time": clock}))})],  # type: ignore[arg-type]  # a page
            {"*": was("Tue 17:22"), "ABS": ABSENT},
            warns=None,
            order=(provider,),
        )
        for provider, clocks in {
            "gpw": ("08:47:00", "08:59:59", "16:55:30", "17:12:00", "17:20:00", "22:00:21", "00:00:00"),
            "bankier": ("08:47", "16:55", "17:20"),
        }.items()
        for clock in clocks
    ),
    *(
        Case(
            f"gpw: the exchange trades at {clock}",
            "held",
            [Look("Tue 17:22", page(("cell", "ABS", {"time": clock})))],
            {"*": was("Tue 17:22"), "ABS": at(82.8, "Tue")},
        )
        for clock in ("09:00:00", "16:49:59", "17:00:00", "17:04:59")
    ),
]

F4 = [
    Case(
        "the same page from half past ten until three",
        "F4",
        looks("Tue 10:30", "Tue 15:00", 15, gpw=page(of="Tue 10:30")),
        {"*": old("Tue 10:30", "unchanged")},
        warns=("gpw",),
        alerts=("stale",),
    ),
    Case(
        "the same list of bankier's from half past ten until three",
        "F4",
        looks("Tue 10:30", "Tue 15:00", 15, bankier=page(of="Tue 10:30")),
        {"*": old("Tue 10:30", "unchanged")},
        warns=("bankier",),
        alerts=("stale",),
        order=("bankier",),
    ),
    Case(
        "a page that moves again",
        "F4",
        [*looks("Tue 10:30", "Tue 15:00", 15, gpw=page(of="Tue 10:30")), Look("Tue 15:05")],
        {"*": was("Tue 15:05")},
        alerts=None,
    ),
    Case(
        "one stock that does not trade for hours is not old",
        "held",
        [CLOSE, *looks("Tue 10:30", "Tue 15:00", 15, gpw=page(("of", "ABS", "Tue 10:30")))],
        {"*": was("Tue 15:00"), "ABS": was("Tue 10:30")},
    ),
    Case(
        "the evening's page does not change any more",
        "held",
        [*looks("Tue 17:20", "Tue 17:24", 1), Look("Tue 22:00")],
        {"*": was("Tue 17:24")},
        warns=None,
    ),
    Case(
        "a dead source is old after three turns",
        "held",
        [Look("Tue 10:30"), *looks("Tue 10:31", "Tue 10:40", gpw=DOWN)],
        {"*": old("Tue 10:30", "silent")},
        refused={"gpw": "unreachable"},
        warns=None,
        alerts=("stale",),
    ),
]

CASES = [*F5, *COPIES, *F10, *F4]
