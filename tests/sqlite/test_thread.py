import asyncio
import threading
import time

import pytest

from zlotick.sqlite.thread import Ended, OneThread


async def test_calls_run_one_at_a_time_in_the_order_asked() -> None:
    thread = OneThread("test", timeout=5)
    inside, seen = [0], []

    def call(n: int) -> int:
        inside[0] += 1
        assert inside[0] == 1
        time.sleep(0.001)
        seen.append((n, threading.current_thread().name))
        inside[0] -= 1
        return n

    tasks = [asyncio.create_task(thread.call(lambda n=n: call(n))) for n in range(10)]
    assert await asyncio.gather(*tasks) == list(range(10))
    assert [n for n, _ in seen] == list(range(10))
    assert len({name for _, name in seen}) == 1
    thread.end(lambda: None)
    await thread.ended()


async def test_errors_come_back_and_the_next_call_works() -> None:
    thread = OneThread("test", timeout=5)
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    assert await thread.call(lambda: 7) == 7
    thread.end(lambda: None)
    await thread.ended()


async def test_cancelled_waiters_leave_the_turn_to_others() -> None:
    thread = OneThread("test", timeout=5)
    free = threading.Event()
    first = asyncio.create_task(thread.call(lambda: free.wait(30)))
    while not thread._turn.locked():
        await asyncio.sleep(0)
    waiters = [asyncio.create_task(thread.call(lambda n=n: n)) for n in range(6)]
    await asyncio.sleep(0)
    for waiter in waiters[::2]:
        waiter.cancel()
    first.cancel()
    free.set()
    done = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 30)
    assert [result for result in done if isinstance(result, int)] == [1, 3, 5]
    thread.end(lambda: None)
    await thread.ended()


async def test_then_runs_whoever_still_waits() -> None:
    thread = OneThread("test", timeout=5)
    free, told = threading.Event(), asyncio.Event()
    call = asyncio.create_task(thread.call(lambda: free.wait(30), told.set))
    while not thread._turn.locked():
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert not told.is_set()
    free.set()
    await asyncio.wait_for(told.wait(), 30)
    thread.end(lambda: None)
    await thread.ended()


async def test_after_the_end_there_are_no_calls() -> None:
    thread = OneThread("test", timeout=5)
    lasts = []
    for n in range(2):
        thread.end(lambda n=n: lasts.append(n))
        await thread.ended()
    assert lasts == [0]
    for _ in range(2):  # the turn is given back
        with pytest.raises(Ended):
            await thread.call(lambda: None)
