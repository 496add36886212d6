"""What a quote is called: where it is from, how old it is, and whether anybody hears of it."""

from __future__ import annotations

from tests.honesty.case import DOWN, Case, Look, Sees, looks, maybe, old, page, was

BOTH = ("gpw", "bankier")
ANYHOW = {"refused": None, "warns": None, "alerts": None}
REPLAYED = Sees("any", stale=None, reason="any", fields={"origin": "replayed"})
MONDAY = page(of="Mon 17:22")


def fallback(**fields: object) -> Sees:
    return was("Tue 10:50", source="bankier", fields={"delay_seconds": 900}, **fields)  # type: ignore[arg-type]  # fields of Sees


CASES = [
    Case(
        "a replay's quotes stay replayed when the profile goes live",
        "F12",
        [*looks("Sat 11:00", "Sat 11:02"), Look("Sat 11:30", page(("drop", "ABS,11B")), order=("gpw",))],
        {"ABS": maybe(REPLAYED), "11B": maybe(REPLAYED), "AMB": was("Fri 17:22")},
        order=("replay",),
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a replay's quotes stay replayed when no provider is configured any more",
        "F12",
        [*looks("Sat 11:00", "Sat 11:02"), Look("Sat 11:30", order=("mine",))],
        {"ABS": maybe(REPLAYED), "*": maybe(REPLAYED)},
        order=("replay",),
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    Case(
        "a restart keeps the label",
        "F12",
        [Look("Mon 17:22"), Look("Tue 08:45", order=("gpw",))],
        {"*": was("Mon 17:22")},
    ),
    Case(
        "a restart with a dead source",
        "held",
        [Look("Tue 10:30"), Look("Tue 11:00", DOWN, order=("gpw",))],
        {"*": old("Tue 10:30", "silent")},
        refused={"gpw": "unreachable"},
        warns=None,
        alerts=None,
    ),
    Case(
        "a restart after three weeks with a dead source",
        "held",
        [Look("2026-06-30 17:22"), Look("Tue 11:00", DOWN, order=("gpw",))],
        {"*": old("2026-06-30 17:22", "silent")},
        refused={"gpw": "unreachable"},
        warns=None,
        alerts=None,
    ),
    Case(
        "asleep from Monday evening to Tuesday noon, and the source is dead",
        "held",
        [Look("Mon 17:22"), Look("Tue 12:00", DOWN)],
        {"*": old("Mon 17:22", "silent")},
        refused={"gpw": "unreachable"},
        warns=None,
        alerts=("stale",),
    ),
    Case(
        "a dead source at half past ten is told to a client that wants changes only",
        "F11",
        [Look("Tue 10:30"), *looks("Tue 10:31", "Tue 10:40", gpw=DOWN)],
        {"*": old("Tue 10:30", "silent")},
        refused={"gpw": "unreachable"},
        warns=None,
        alerts=("stale",),
    ),
    Case(
        "and that it speaks again",
        "F11",
        [
            Look("Tue 10:30"),
            *looks("Tue 10:31", "Tue 10:40", gpw=DOWN),
            Look("Tue 11:10", page(of="Tue 10:32")),
            Look("Tue 11:12"),
        ],
        {"*": was("Tue 11:12")},
        alerts=("stale",),
    ),
    Case(
        "the fallback takes over under its own name",
        "F13",
        [Look("Tue 10:30"), *looks("Tue 10:46", "Tue 10:50", 2, gpw=DOWN)],
        {"*": was("Tue 10:50|Tue 10:30", stale=None, reason="any"), "ABS": was("Tue 10:50|Tue 10:30")},
        refused={"gpw": "unreachable"},
        order=BOTH,
        warns=None,
    ),
    Case(
        "the first provider comes back",
        "held",
        [Look("Tue 10:30"), *looks("Tue 10:46", "Tue 10:50", 2, gpw=DOWN), Look("Tue 11:30")],
        {"*": was("Tue 11:30", source="gpw")},
        order=BOTH,
    ),
    Case(
        "only one stock is the fallback's",
        "held",
        [Look("Tue 10:30", page(("drop", "ABS")))],
        {"*": was("Tue 10:30", source="gpw"), "ABS": was("Tue 10:30", source="bankier")},
        order=BOTH,
        warns=None,
    ),
    Case(
        "the fallback shows yesterday while the first is down",
        "F1",
        [Look("Tue 10:30"), *looks("Tue 10:31", "Tue 10:40", gpw=DOWN, bankier=MONDAY)],
        {"*": old("Tue 10:30", "any")},
        refused=None,
        warns=None,
        alerts=("stale",),
        order=BOTH,
    ),
]
