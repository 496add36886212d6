import asyncio

from zlotick.events import EventBus


async def test_the_guide_s_fragment_reaches_the_handler() -> None:
    event_bus = EventBus()
    seen: list[dict[str, object]] = []

    async def handle_stock_update_event(data: dict[str, object]) -> None:
        await asyncio.sleep(0)
        seen.append(data)

    await event_bus.subscribe("stock_update", handle_stock_update_event)
    await event_bus.publish("stock_update", {"symbol": "PKN", "price": 65.50, "change": 1.25})
    assert seen == [{"symbol": "PKN", "price": 65.50, "change": 1.25}]
    await event_bus.close()


async def test_events_of_other_types_do_not_arrive_and_order_is_kept() -> None:
    bus = EventBus()
    seen: list[int] = []
    await bus.subscribe("a", seen.append)
    for number in range(100):
        bus.emit("a", number)
        bus.emit("b", -number)
    await bus.publish("a", 100)
    assert seen == list(range(101))
    await bus.close()


async def test_a_failing_handler_harms_nobody() -> None:
    bus = EventBus()
    seen: list[str] = []

    def broken(data: str) -> None:
        raise RuntimeError("a subscriber's bug")

    failing = await bus.subscribe("a", broken)
    await bus.subscribe("a", seen.append)
    await bus.publish("a", "one")
    await bus.publish("a", "two")
    assert seen == ["one", "two"]
    assert failing.failed == 2
    await bus.close()


async def test_a_stuck_handler_loses_only_its_own_oldest_events() -> None:
    bus = EventBus(max_queue=3, publish_timeout=0.01)
    release = asyncio.Event()
    slow_seen: list[int] = []
    fast_seen: list[int] = []

    async def slow(data: int) -> None:
        await release.wait()
        slow_seen.append(data)

    stuck = await bus.subscribe("a", slow)
    await bus.subscribe("a", fast_seen.append)
    for number in range(10):
        await bus.publish("a", number)  # comes back although one handler is stuck
    assert fast_seen == list(range(10))
    release.set()
    await bus.close()
    assert slow_seen == [0, 7, 8, 9]
    assert stuck.dropped == 6


async def test_a_handler_that_never_ends_is_cut_off_by_its_deadline() -> None:
    bus = EventBus(handler_timeout=0.02)
    seen: list[int] = []

    async def forever_first(data: int) -> None:
        if data == 0:
            await asyncio.Event().wait()
        seen.append(data)

    subscription = await bus.subscribe("a", forever_first)
    bus.emit("a", 0)
    await bus.publish("a", 1)
    assert seen == [1]
    assert subscription.failed == 1
    await bus.close()


async def test_a_publisher_that_is_cancelled_leaves_no_task() -> None:
    bus = EventBus(publish_timeout=60)
    await bus.subscribe("a", lambda _: asyncio.Event().wait())
    before = asyncio.all_tasks()
    publishing = asyncio.create_task(bus.publish("a", 1))
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.wait([publishing])
    assert asyncio.all_tasks() == before
    await bus.close(timeout=0)


async def test_after_unsubscribe_nothing_arrives_and_no_task_is_left() -> None:
    bus = EventBus()
    seen: list[int] = []
    subscription = await bus.subscribe("a", seen.append)
    assert bus.has_subscribers("a")
    await bus.unsubscribe(subscription)
    await bus.publish("a", 1)
    assert seen == []
    assert not bus.has_subscribers("a")
    await bus.close()
    await bus.unsubscribe(subscription)  # as whoever outlives the service does
    assert [task for task in asyncio.all_tasks() if "event handler" in task.get_name()] == []
