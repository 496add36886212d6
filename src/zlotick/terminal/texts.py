"""Numbers and durations as short texts. Pure. An unknown value is a dash, never a zero."""

from __future__ import annotations

UNKNOWN = "-"
_BAR = 9
_REASONS = {
    "not_traded": "no trade yet",
    "missing": "not listed",
    "unchanged": "page frozen",
    "silent": "no answer",
}


def price(value: float | None) -> str:
    """Two decimals, up to four for penny stocks."""
    if value is None:
        return UNKNOWN
    whole, _, decimals = f"{value:.4f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def change(value: float | None) -> str:
    """As many decimals as the price, with a sign, so that colours are not needed; zero has no sign."""
    if value is None:
        return UNKNOWN
    return _sign(round(value, 4)) + price(abs(value))


def percent(value: float | None) -> str:
    """Likewise, with two decimals."""
    if value is None:
        return UNKNOWN
    return f"{_sign(round(value, 2))}{abs(value):.2f}%"


def _sign(value: float) -> str:
    return "+" if value > 0 else "-" if value < 0 else ""


def count(value: int | None) -> str:
    """Seven characters at most, up to 999 million: 950, 12,345, 123.5k, 1.23M."""
    if value is None:
        return UNKNOWN
    if value < 100_000:
        return f"{value:,}"
    return f"{value / 1000:.1f}k" if value < 1_000_000 else f"{value / 1_000_000:.2f}M"


def between(low: float | None, high: float | None) -> str:
    """The day's range."""
    return UNKNOWN if low is None or high is None else f"{price(low)}–{price(high)}"


def place(low: float | None, value: float, high: float | None) -> str:
    """A bar that shows where in the day's range the price is."""
    if low is None or high is None or not low <= value <= high:
        return ""
    at = round((value - low) / (high - low) * (_BAR - 1)) if high > low else _BAR // 2
    return "─" * at + "●" + "─" * (_BAR - 1 - at)


def age(seconds: float) -> str:
    """At most three characters: 12s, 4m, 3h, 2d."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{min(int(seconds // length), 99)}{unit}"
    return f"{max(0, int(seconds))}s"


def countdown(seconds: float) -> str:
    """``1 d 03:10``, ``2:03:10`` or ``3:10``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def origin(word: str, minutes: int) -> str:
    """The label of a quote: ``live``, ``delayed 15 min``, ``end of day``."""
    return f"{word.replace('_', ' ')} {minutes} min" if minutes else word.replace("_", " ")


def reason(word: str) -> str:
    """Why there is no newer quote. Other values are shown as they are: ``rejected``."""
    return _REASONS.get(word, word.replace("_", " "))
