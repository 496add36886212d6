"""What clients that read nothing do to the others, and ten thousand clients that return at once."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks import fanout_gateway
from benchmarks.fanout_gateway import FIRST_OFFSET, Stage
from benchmarks.fanout_legs import Bench, Crowd, Leg, bench, in_turns, median

RETURNING = 10_000
MISSED, CHANGED = 10, 6


def main() -> None:
    with bench(RETURNING) as ready:
        if ready is not None:
            for clients in (100, 1000):
                _stalled(ready, clients)
            _returning(ready)


def _stalled(ready: Bench, clients: int) -> None:
    """Each leg twice, so that what the first cycles cost once counts for neither."""
    stalled = clients // 10
    with ExitStack() as stack:
        legs = {
            "all read": Leg(ready, fanout_gateway.command(), Crowd(clients - stalled), stack),
            "some do not": Leg(ready, fanout_gateway.command(), Crowd(clients, stalled=stalled), stack),
        }
        before = {name: leg.memory_kb() for name, leg in legs.items()}
        rounds = in_turns(legs, cycles=300_000 // clients, in_flight=1, most=7, budget=15)
        grown = {name: leg.memory_kb() - before[name] for name, leg in legs.items()}
        late = legs["some do not"].numbers()
    assert late.slow_consumers + late.evicted == stalled, late
    p99 = median(rounds, lambda turns: turns["some do not"].p99_ms / turns["all read"].p99_ms)
    p50 = median(rounds, lambda turns: turns["some do not"].median_ms / turns["all read"].median_ms)
    more = (grown["some do not"] - grown["all read"]) / 1024
    print(
        f"{stalled} of {clients} clients read nothing, {len(rounds)} rounds: the others' p99 {p99:.2f} of what it is "
        f"without them, p50 {p50:.2f} (required 1.5); memory {more:+.1f} MB (required +3)"
    )


def _returning(ready: Bench) -> None:
    since = {"epoch": "bench", "offset": FIRST_OFFSET + 20}
    wish: dict[str, object] = {"type": "subscribe", "mode": "changes", "since": since}
    stage = Stage(changed=CHANGED, before=20 + MISSED)
    with ExitStack() as stack:
        leg = Leg(ready, fanout_gateway.command(stage), Crowd(RETURNING, [wish]), stack)
        numbers = leg.numbers()
    print(
        f"{RETURNING} clients return with since, {MISSED} batches missed: {leg.live} live after "
        f"{leg.arrived_seconds:.1f} s (required 10); journal reads {numbers.journal_reads}, the store is not asked"
    )


if __name__ == "__main__":
    main()
