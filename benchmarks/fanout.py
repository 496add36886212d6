"""Fan-out of a cycle to WebSocket clients, beside a raw C write() loop of the same bytes.

The message is what 80 quotes make. The gateway encodes all that changed in every cycle; the loop in C writes bytes
that it was given. The compressed frame is compared with the loop's PLAIN bytes: it carries the same quotes.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import fanout_gateway, fanout_peers
from benchmarks.fanout_gateway import QUOTES, SYMBOLS, Stage
from benchmarks.fanout_legs import Bench, Crowd, Leg, Rounds, bench, in_turns, median, speed, spread

from zlotick.gateway.frames import deflated

FEW, MANY = 1000, 10_000
CHANGED = 6
CHANGES: dict[str, object] = {"type": "subscribe", "mode": "changes"}


def main() -> None:
    with bench(MANY) as ready:
        if ready is not None:
            _thousand(ready)
            _ten_thousand(ready)
            _distinct_subscriptions(ready)


def _thousand(ready: Bench) -> None:
    whole, delta = fanout_gateway.message(), fanout_gateway.message(CHANGED)
    quick = Stage(changed=CHANGED)
    with ExitStack() as stack:
        legs = {
            "C": Leg(ready, ready.limit(whole), Crowd(FEW), stack),
            "plain": Leg(ready, fanout_gateway.command(), Crowd(FEW), stack),
            "deflate": Leg(ready, fanout_gateway.command(), Crowd(FEW, deflate=True), stack),
            "C delta": Leg(ready, ready.limit(delta), Crowd(FEW), stack),
            "delta": Leg(ready, fanout_gateway.command(quick), Crowd(FEW, [CHANGES]), stack),
            "broadcast": Leg(ready, fanout_peers.command(ready.file(whole)), Crowd(FEW), stack),
        }
        rounds = in_turns(legs, cycles=100, in_flight=3, most=9, budget=40)
    print(
        f"{FEW} clients, {len(rounds)} rounds, messages/s as a ratio to the C loop writing the plain bytes:"
    )
    _tell(rounds, "plain", "C", f"{len(whole):,} B plain", 0.80)
    _tell(rounds, "deflate", "C", f"the same, shared deflate of {len(deflated(whole)):,} B", 0.95)
    _tell(rounds, "delta", "C delta", f"delta of {CHANGED} quotes, {len(delta):,} B", 0.80)
    _tell(rounds, "plain", "broadcast", "plain, to websockets.broadcast", 1.4)
    _tell_cost(rounds)


def _ten_thousand(ready: Bench) -> None:
    whole = fanout_gateway.message()
    with ExitStack() as stack:
        legs = {
            "C": Leg(ready, ready.limit(whole), Crowd(MANY), stack),
            "C deflated": Leg(ready, ready.limit(deflated(whole)), Crowd(MANY), stack),
            "plain": Leg(ready, fanout_gateway.command(Stage(watch=True)), Crowd(MANY), stack),
            "deflate": Leg(ready, fanout_gateway.command(), Crowd(MANY, deflate=True), stack),
        }
        idle = {name: legs[name].connection_kb for name in ("plain", "deflate")}
        alone = in_turns({"plain": legs["plain"]}, cycles=15, in_flight=1, most=1, budget=0)
        held = legs["plain"].numbers().held_ms
        rounds = in_turns(legs, cycles=15, in_flight=2, most=5, budget=45)
    print(f"{MANY} clients, {len(rounds)} rounds:")
    _tell(rounds, "plain", "C", "plain", 0.75)
    _tell(rounds, "deflate", "C", "shared deflate", 1.05)
    limit = speed(rounds, "C deflated", "C")
    print(f"  the C loop writing the deflated bytes: {limit:.2f} ({spread(rounds, 'C deflated', 'C')})")
    _tell_cost(rounds)
    print(
        f"  event loop held by one cycle: {held:.1f} ms (required 10); "
        f"the whole cycle {alone[0]['plain'].median_ms:.0f} ms"
    )
    print(
        f"  idle connection: {idle['plain']:.1f} KB, with deflate {idle['deflate']:.1f} KB (required 18 and 20)"
    )


def _distinct_subscriptions(ready: Bench) -> None:
    shared, own = ([_five(number) for number in range(count)] for count in (20, FEW))
    with ExitStack() as stack:
        legs = {
            "shared": Leg(ready, fanout_gateway.command(), Crowd(FEW, shared), stack),
            "own": Leg(ready, fanout_gateway.command(), Crowd(FEW, own), stack),
        }
        rounds = in_turns(legs, cycles=100, in_flight=3, most=9, budget=20)
    more = median(rounds, lambda turns: turns["own"].per_message() - turns["shared"].per_message())
    print(
        f"one more distinct subscription (5 of {QUOTES} symbols): {more * FEW / (FEW - 20):.1f} us of CPU a cycle "
        f"(required 3.5); a message of a shared one {_cost(rounds, 'shared'):.1f} us"
    )


def _tell(rounds: Rounds, one: str, other: str, what: str, required: float) -> None:
    ratio = speed(rounds, one, other)
    print(f"  {what}: {ratio:.2f} ({spread(rounds, one, other)}; required {required:.2f})")


def _tell_cost(rounds: Rounds) -> None:
    costs = [f"{name} {_cost(rounds, name):.2f}" for name in rounds[0]]
    rate = median(rounds, lambda turns: turns["plain"].rate())
    print(f"  CPU a message, us: {', '.join(costs)}; plain {rate:,.0f} messages/s")


def _cost(rounds: Rounds, name: str) -> float:
    return median(rounds, lambda turns: turns[name].per_message())


def _five(number: int) -> dict[str, object]:
    """A set of five symbols, another for each number."""
    rest, first = divmod(number, QUOTES)
    places = {first, first + 1 + rest, first + 20, first + 40, first + 60}
    return {"type": "subscribe", "symbols": [SYMBOLS[place % QUOTES] for place in places]}


if __name__ == "__main__":
    main()
