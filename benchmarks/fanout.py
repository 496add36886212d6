"""Fan-out of a cycle to WebSocket clients, beside a raw C write() loop of the same bytes.

The message is what 80 quotes make: whole (27 KB), and with the guide's fields only (18 KB), which is what the
prototype was measured with. The gateway encodes all that changed in every cycle; the loop in C writes bytes that it
was given. The compressed frame is compared with the loop's PLAIN bytes: it carries the same quotes.

Two ratios: of messages a second, and of the CPU time that the writing process takes for a message. On a machine that
does nothing else they are the same; on a busy one the second is the steadier.
"""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import fanout_gateway, fanout_peers
from benchmarks.fanout_gateway import GUIDE_FIELDS, QUOTES, SYMBOLS, Stage
from benchmarks.fanout_legs import Bench, Crowd, Leg, Rounds, bench, in_turns, median, speed, spread, thrift

from zlotick.gateway.fanout.frames import deflated

FEW, MANY = 1000, 10_000
CHANGED = 6
CHANGES: dict[str, object] = {"type": "subscribe", "mode": "changes"}
GUIDE: dict[str, object] = {"type": "subscribe", "fields": list(GUIDE_FIELDS)}


def main() -> None:
    with bench(MANY) as ready:
        if ready is not None:
            _thousand(ready)
            _ten_thousand(ready)
            _distinct_subscriptions(ready)


def _thousand(ready: Bench) -> None:
    whole, guide, delta = _messages()
    quick = Stage(changed=CHANGED)
    with ExitStack() as stack:
        legs = {
            "C": Leg(ready, ready.limit(whole), Crowd(FEW), stack),
            "plain": Leg(ready, fanout_gateway.command(), Crowd(FEW), stack),
            "deflate": Leg(ready, fanout_gateway.command(), Crowd(FEW, wire="deflate"), stack),
            "broadcast": Leg(ready, fanout_peers.command(ready.file(whole)), Crowd(FEW), stack),
            "C guide": Leg(ready, ready.limit(guide), Crowd(FEW), stack),
            "guide": Leg(ready, fanout_gateway.command(), Crowd(FEW, [GUIDE]), stack),
            "broadcast guide": Leg(ready, fanout_peers.command(ready.file(guide)), Crowd(FEW), stack),
            "C delta": Leg(ready, ready.limit(delta), Crowd(FEW), stack),
            "delta": Leg(ready, fanout_gateway.command(quick), Crowd(FEW, [CHANGES]), stack),
        }
        centrifuge = fanout_peers.centrifuge(ready, ready.file(guide))
        if centrifuge is not None:
            crowd = Crowd(FEW, [fanout_peers.CENTRIFUGE_CONNECT], wire="lines")
            legs["centrifuge"] = Leg(ready, centrifuge, crowd, stack)
        rounds = in_turns(legs, cycles=50, in_flight=3, most=15, budget=60)
    _begin(FEW, rounds)
    _tell(rounds, "guide", "C guide", f"the guide's fields, {len(guide):,} B", 0.80)
    _tell(rounds, "plain", "C", f"whole quotes, {len(whole):,} B", 0.80)
    _tell(rounds, "deflate", "C", f"the same, shared deflate of {len(deflated(whole)):,} B", 0.95)
    _tell(rounds, "delta", "C delta", f"delta of {CHANGED} quotes, {len(delta):,} B", 0.80)
    _tell(rounds, "guide", "broadcast guide", "the guide's fields, to websockets.broadcast", 1.4)
    _tell(rounds, "plain", "broadcast", "whole quotes, to websockets.broadcast", 1.4)
    if centrifuge is not None:
        _tell(rounds, "guide", "centrifuge", "the guide's fields, to the Go library centrifuge", 1.2)
    _tell_cost(rounds)


def _ten_thousand(ready: Bench) -> None:
    whole, guide, _ = _messages()
    with ExitStack() as stack:
        legs = {
            "C": Leg(ready, ready.limit(whole), Crowd(MANY), stack),
            "C deflated": Leg(ready, ready.limit(deflated(whole)), Crowd(MANY), stack),
            "plain": Leg(ready, fanout_gateway.command(Stage(watch=True)), Crowd(MANY), stack),
            "deflate": Leg(ready, fanout_gateway.command(), Crowd(MANY, wire="deflate"), stack),
            "C guide": Leg(ready, ready.limit(guide), Crowd(MANY), stack),
            "guide": Leg(ready, fanout_gateway.command(), Crowd(MANY, [GUIDE]), stack),
        }
        idle = {name: legs[name].connection_kb for name in ("plain", "deflate")}
        alone = in_turns({"plain": legs["plain"]}, cycles=15, in_flight=1, most=1, budget=0)
        held = legs["plain"].numbers().held_ms
        rounds = in_turns(legs, cycles=4, in_flight=2, most=20, budget=60)
    _begin(MANY, rounds)
    _tell(rounds, "guide", "C guide", "the guide's fields", 0.75)
    _tell(rounds, "plain", "C", "whole quotes", 0.75)
    _tell(rounds, "deflate", "C", "the same, shared deflate", 1.05)
    _tell(rounds, "C deflated", "C", "the C loop itself, writing the deflated bytes")
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
        rounds = in_turns(legs, cycles=20, in_flight=3, most=50, budget=20)
    more = median(rounds, lambda turns: turns["own"].per_message() - turns["shared"].per_message())
    print(
        f"one more distinct subscription (5 of {QUOTES} symbols): {more * FEW / (FEW - 20):.1f} us of CPU a cycle "
        f"(required 3.5); a message of a shared one {_cost(rounds, 'shared'):.1f} us"
    )


def _messages() -> tuple[bytes, bytes, bytes]:
    """Of all quotes, of all with the guide's fields, of those few that changed."""
    whole, guide = fanout_gateway.message(), fanout_gateway.message(fields=GUIDE_FIELDS)
    return whole, guide, fanout_gateway.message(CHANGED)


def _begin(clients: int, rounds: Rounds) -> None:
    print(
        f"{clients} clients, {len(rounds)} rounds: messages/s, and the writer's CPU, as ratios (more is better)"
    )


def _tell(rounds: Rounds, one: str, other: str, what: str, required: float | None = None) -> None:
    wanted = "" if required is None else f"; required {required:.2f}"
    rate = f"{speed(rounds, one, other):.2f} ({spread(rounds, one, other)}{wanted})"
    print(f"  {what}: {rate}; CPU {thrift(rounds, one, other):.2f}")


def _tell_cost(rounds: Rounds) -> None:
    costs = [f"{name} {_cost(rounds, name):.2f}" for name in rounds[0]]
    rate = median(rounds, lambda turns: turns["plain"].rate())
    busy = median(rounds, lambda turns: turns["plain"].cpu / turns["plain"].seconds)
    print(f"  CPU a message, us: {', '.join(costs)}")
    print(f"  whole quotes: {rate:,.0f} messages/s; the writer computed {busy:.0%} of the time")


def _cost(rounds: Rounds, name: str) -> float:
    return median(rounds, lambda turns: turns[name].per_message())


def _five(number: int) -> dict[str, object]:
    """A set of five symbols, another for each number."""
    rest, first = divmod(number, QUOTES)
    places = {first, first + 1 + rest, first + 20, first + 40, first + 60}
    return {"type": "subscribe", "symbols": [SYMBOLS[place % QUOTES] for place in places]}


if __name__ == "__main__":
    main()
