"""Pages that are cut, and pages that are something else."""

from __future__ import annotations

from tests.honesty.case import BLANK, CHALLENGE, DOWN, OTHER, Case, Look, Page, looks, maybe, page, was

ANYHOW = {"warns": None, "alerts": None}
KEPT = was("Tue 10:00", stale=None, reason="any")
VOLUME_LAST = (("header", {"Wol. obr. - skumul.": "MIC", "MIC": "Wol. obr. - skumul."}),)


def cut(name: str, provider: str, *edits: tuple[object, ...]) -> Case:
    """A page whose end is missing: nothing of it is taken."""
    broken = {provider: page(*edits)}
    return Case(
        name,
        "F19",
        [Look("Tue 10:00"), Look("Tue 10:30", **broken)],  # type: ignore[arg-type]  # a page
        {"*": KEPT},
        refused={provider: "format_changed"},
        order=(provider,),
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    )


def refusing(name: str, shown: Page, reason: str) -> Case:
    """An answer that is no page of quotes: what was known stays, and is old after three turns."""
    return Case(
        name,
        "held",
        [Look("Tue 10:00"), Look("Tue 10:30", shown)],
        {"*": was("Tue 10:00", stale=True, reason="silent")},
        refused={"gpw": reason},
        warns=("gpw",),
        alerts=("stale",),
    )


CASES = [
    cut("gpw, in the last cell", "gpw", ("cut", 'nowrap">XWA')),
    cut("gpw, after the last row", "gpw", ("cut", "</tr>")),
    cut("gpw, after the last row and body", "gpw", ("cut", "</tbody>")),
    cut("gpw, half of it", "gpw", ("upto", 0.5)),
    cut("gpw, nine tenths of it", "gpw", ("upto", 0.9)),
    cut("gpw, all but a few bytes", "gpw", ("upto", 0.9999)),
    cut("gpw, in the volume of the last row", "gpw", ("cut", 'col23 nowrap">1')),
    cut("bankier, in the last time", "bankier", ("cut", "<td>1")),
    cut("bankier, after the last row", "bankier", ("cut", "</tr>")),
    cut("bankier, half of it", "bankier", ("upto", 0.5)),
    Case(
        "bankier's page without its html end is whole",
        "held",
        [Look("Tue 10:30", bankier=page(("cut", "</table>")))],
        {"*": was("Tue 10:30")},
        order=("bankier",),
    ),
    Case(
        "half of the stocks on a whole page",
        "held",
        [Look("Tue 10:00"), *looks("Tue 10:30", "Tue 10:40", 2, gpw=page(("drop", "#38")))],
        {"*": maybe(was("Tue 10:40|Tue 10:00", stale=None, reason="None|missing|silent"))},
        refused=None,
        **ANYHOW,  # type: ignore[arg-type]  # fields of Case
    ),
    refusing("a page of maintenance", OTHER, "format_changed"),
    refusing("a puzzle for browsers", CHALLENGE, "challenge"),
    refusing("an empty answer", BLANK, "no_data"),
    refusing("a broken server", DOWN, "unreachable"),
    refusing("a server that hangs up", Page(reply="hang up"), "unreachable"),
    refusing(
        "another table", Page(reply="<table><thead><tr><th>Nazwa</th></tr></thead></table>"), "format_changed"
    ),
    refusing("a table of another index", page(("drop", "*")), "no_data"),
]
