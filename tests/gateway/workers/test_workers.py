"""Several processes on one port: real workers, real sockets, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from structlog.testing import capture_logs
from tests.factories import alert, quote, report
from tests.gateway.access.test_tls import Files
from tests.gateway.serving import SILENT, SYMBOLS, Client, Service, until

from zlotick.config import GatewayConfig
from zlotick.config.settings import MarketConfig
from zlotick.errors import GatewayError, JournalError
from zlotick.events import MARKET_STATUS
from zlotick.gateway.workers import ipc, owner_proxy, process
from zlotick.gateway.workers.owner_proxy import OwnerProxy
from zlotick.gateway.workers.process import QuestionHandler, WorkerProcess, merged
from zlotick.gateway.workers.supervisor import RunningWorkers, Workers
from zlotick.market.queries import HistoryQuery, Interval, StoredCandle
from zlotick.model import Entry, Position, StockUpdate, UpdateBatch, now_text
from zlotick.telemetry.metrics import Sample

pytestmark = pytest.mark.slow

Lines = list[Any]


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What is logged, by the workers too: they tell which session is whose."""
    logger = logging.getLogger("zlotick")
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()  # type: ignore[attr-defined]  of levels
    with capture_logs() as captured:
        yield captured


@contextlib.asynccontextmanager
async def working(service: Service | None = None, **settings: Any) -> AsyncIterator[RunningWorkers]:
    workers = await started(service, **settings)
    pids = [worker.pid for worker in workers.workers]
    try:
        yield workers
    finally:
        await workers.stop()
        assert not any(map(alive, pids))
        assert [worker.pid for worker in workers.workers] == [None, None]


async def started(service: Service | None = None, **settings: Any) -> RunningWorkers:
    known = {"host": "127.0.0.1", "port": 0, "shutdown_timeout": 1.0, "workers": 2, "requests_burst": 1000}
    workers = Workers(GatewayConfig(**{**known, **settings}), service or Service(), MarketConfig())
    return await workers.start({symbol: quote(symbol) for symbol in SYMBOLS}, Position("e1", 1))


def alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.asynccontextmanager
async def one_on_each(
    workers: RunningWorkers, lines: Lines, scheme: str = "ws", **options: Any
) -> AsyncIterator[dict[int, Client]]:
    """A client on each worker, greeted; the kernel decides, so some more are tried."""
    found: dict[int, Client] = {}
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(64):
            url = f"{scheme}://127.0.0.1:{workers.port}"
            client = Client(await stack.enter_async_context(websockets.connect(url, **options)))
            number = await worker_of((await client.hear())["session"], lines)
            if number in found:
                await client.socket.close()
            else:
                found[number] = client
            if len(found) == len(workers.workers):
                break
        yield found


async def worker_of(session: str, lines: Lines) -> int:
    def numbers() -> list[int]:
        return [line["worker"] for line in lines if line.get("session") == session]

    await until(lambda: bool(numbers()))
    return numbers()[0]


def cycle(workers: RunningWorkers, offset: int, price: float) -> None:
    quotes = {symbol: quote(symbol, price) for symbol in SYMBOLS}
    workers.publish(report(quotes, ["ABS"], offset=offset))


async def back(worker: WorkerProcess, before: int | None) -> None:
    await until(lambda: worker.up.is_set() and worker.pid not in (None, before), 60)


async def test_clients_of_all_workers_get_the_same_cycles(lines: Lines) -> None:
    async with working() as workers, one_on_each(workers, lines) as clients:
        heard: dict[int, list[Any]] = {}
        for number, client in clients.items():
            assert len(await client.subscribe()) == len(SYMBOLS)
            heard[number] = []
        for offset in range(2, 7):
            cycle(workers, offset, 10 + offset / 10)
        for number, client in clients.items():
            for _ in range(5):
                message = await client.hear()
                del message["timestamp"]
                heard[number].append(message)
    assert heard[1] == heard[2]
    assert [message["position"]["offset"] for message in heard[1]] == [2, 3, 4, 5, 6]


async def test_workers_run_no_python_file_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m`` puts the working folder first on its path: a msgspec.py in a folder of downloads was executed."""
    (tmp_path / "msgspec.py").write_text("open('executed', 'w').close()")
    monkeypatch.chdir(tmp_path)
    async with working():
        assert not (tmp_path / "executed").exists()


def test_no_child_python_looks_into_the_working_folder() -> None:
    """The same for every Python that zlotick starts."""
    starts = [
        line
        for file in Path(process.__file__).parents[2].rglob("*.py")
        for line in file.read_text().splitlines()
        if "sys.executable" in line
    ]
    assert starts
    assert all('sys.executable, "-P"' in line for line in starts)


async def test_one_killed_takes_only_its_own_sessions_which_resume(lines: Lines) -> None:
    service = Service()
    async with working(service) as workers, one_on_each(workers, lines) as clients:
        for client in clients.values():
            await client.subscribe()
        killed, other = workers.workers[0], clients[2]
        pid = killed.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        assert await clients[1].closed() == 1006
        for offset in (2, 3):  # while it is away
            service.entries.append(
                Entry(Position("e1", offset), UpdateBatch(now_text(), "open", [quote("ABS", 10.0 + offset)]))
            )
            cycle(workers, offset, 10.0 + offset)
            assert (await other.hear())["position"]["offset"] == offset
        await back(killed, pid)
        async with one_on_each(workers, lines) as returned:
            asked = {"since": {"epoch": "e1", "offset": 1}}
            assert (await returned[1].ask(type="subscribe", **asked))["type"] == "subscription_confirmed"
            missed = [await returned[1].hear() for _ in range(4)]
            cycle(workers, 4, 14.0)
            live = await returned[1].hear()
        assert (await other.hear())["position"]["offset"] == 4
    assert [message["type"] for message in missed[:3]] == ["stock_updates", "stock_updates", "snapshot_end"]
    assert [message["position"]["offset"] for message in [*missed[:2], live]] == [2, 3, 4]
    # How the quotes stood before, the new process does not know: it tells how they stand.
    assert {one["symbol"]: one["stale"] for one in missed[3]["data"]} == dict.fromkeys(SYMBOLS, False)
    assert workers.restarts == 1
    assert {"event": "Gateway worker died", "reason": "signal SIGKILL", "worker": 1}.items() <= next(
        line.items() for line in lines if line["event"] == "Gateway worker died"
    )


async def test_subscribers_and_metrics_are_of_all_workers(lines: Lines) -> None:
    async with working() as workers, one_on_each(workers, lines) as clients:
        async with asyncio.timeout(30):
            for client in clients.values():
                while (await client.ask(type="status"))["subscribers"] != 2:
                    await asyncio.sleep(0.05)
        await until(lambda: workers.session_count == 2)
        text = await fetched(workers, "/metrics")
        assert "zlotick_gateway_sessions 2.0" in text
        assert "zlotick_gateway_workers 2.0" in text
        opened = number(text, "zlotick_gateway_sessions_opened_total")
        pid = workers.workers[0].pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        await back(workers.workers[0], pid)
        text = await fetched(workers, "/metrics")
        assert number(text, "zlotick_gateway_sessions_opened_total") >= opened
        assert "zlotick_gateway_worker_restarts_total 1.0" in text


def number(text: str, name: str) -> float:
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


async def fetched(workers: RunningWorkers, path: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{workers.port}{path}") as response,
    ):
        return await response.text()


async def test_sessions_of_all_workers_count_for_the_limit(lines: Lines) -> None:
    async with working(max_sessions=2) as workers, one_on_each(workers, lines):
        await until(lambda: workers.session_count == 2)

        async def refused() -> bool:
            try:
                async with websockets.connect(f"ws://127.0.0.1:{workers.port}"):
                    return False
            except websockets.InvalidStatus as error:
                return error.response.status_code == 503

        async with asyncio.timeout(30):
            while not await refused():  # until each worker was told of the other's
                await asyncio.sleep(0.05)


async def test_events_reach_the_clients_of_all_workers(lines: Lines) -> None:
    async with working() as workers, one_on_each(workers, lines) as clients:
        for client in clients.values():
            await client.ask(type="subscribe", channels=["market"])
            assert (await client.hear())["type"] == "snapshot_end"
        workers.publish_event(MARKET_STATUS, {"status": "closed", "timestamp": now_text()})
        for client in clients.values():
            assert (await client.hear())["status"] == "closed"
        with pytest.raises(ValueError, match="no channel"):
            workers.publish_event("news", {})


async def test_alerts_reach_the_clients_of_all_workers_and_each_can_ask_for_them(lines: Lines) -> None:
    service = Service(alerts=[alert(1, user="u1"), alert(0, symbol=None)])
    async with working(service) as workers, one_on_each(workers, lines) as clients:
        for client in clients.values():
            await client.ask(type="subscribe", channels=["alerts"])
            assert (await client.hear())["type"] == "snapshot_end"
        workers.publish_alert(alert(1, user="u1"))
        for client in clients.values():
            assert (await client.hear())["id"] == alert(1).id
        answer = json.loads(await fetched(workers, "/api/v1/alerts"))
        assert [one["id"] for one in answer["data"]] == [alert(1).id, alert(0).id]


async def test_without_an_engine_the_workers_say_so() -> None:
    async with working() as workers:
        assert "no rule is evaluated here" in await fetched(workers, "/api/v1/alerts")


async def test_a_stop_says_goodbye_and_leaves_nothing(lines: Lines) -> None:
    before = asyncio.all_tasks()
    async with working() as workers:
        port = workers.port
        async with one_on_each(workers, lines) as clients:
            pids = [worker.pid for worker in workers.workers]
            await workers.stop()
            for client in clients.values():
                assert (await client.hear())["type"] == "shutdown"
                assert await client.closed() == 1001
            assert not any(map(alive, pids))
            await workers.stop()
    await until(lambda: asyncio.all_tasks() == before)
    socket.create_server(("127.0.0.1", port)).close()  # the port is free again


async def test_a_taken_port_is_one_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(GatewayError, match=rf"gateway\.port {port}.*another port"):
            await started(port=port)


async def test_a_port_that_others_share_is_taken_too() -> None:
    async with working() as workers:
        with pytest.raises(GatewayError, match=r"another program listens there"):
            await started(port=workers.port)


async def test_what_a_worker_cannot_do_stops_the_start(tmp_path: Path) -> None:
    """The error was followed by a traceback of a future that nobody had asked for its result."""
    leftovers: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: leftovers.append(context))
    with pytest.raises(GatewayError, match=r"none\.pem"):
        await started(tls_certificate=tmp_path / "none.pem", tls_key=tmp_path / "none.key")
    gc.collect()
    assert not leftovers


async def test_a_process_that_cannot_be_started_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(GatewayError, match=r"cannot be started: .*No such file"):
        await started()


async def test_a_second_signal_ends_all_at_once() -> None:
    async with working() as workers:
        pids = [worker.pid for worker in workers.workers]
        workers.kill()
        await until(lambda: not any(map(alive, pids)))
        await until(lambda: [worker.pid for worker in workers.workers] == [None, None])
        assert workers.restarts == 0


async def test_the_journal_s_errors_cross() -> None:
    service = Service(journal=JournalError("the disk is gone"))
    async with working(service) as workers:
        assert "the disk is gone" in await fetched(workers, "/health")


class Shelf:
    """Three pages, and whether somebody still holds them."""

    def __init__(self) -> None:
        self.open = 0

    async def quotes(self, query: HistoryQuery) -> AsyncGenerator[list[StockUpdate], None]:
        self.open += 1
        try:
            for page in range(3):
                yield [quote(query.symbol, 10.0 + page)] * 1000
        finally:
            self.open -= 1

    def candles(self, query: HistoryQuery, interval: Interval) -> AsyncGenerator[list[StoredCandle], None]:
        raise NotImplementedError


async def test_stored_quotes_come_page_by_page_through_the_owner() -> None:
    shelf = Shelf()

    class Stored(Service):
        def history(self) -> Shelf:  # type: ignore[override]  # a shelf stands for a History
            return shelf

    service = Stored()
    async with working(service) as workers:
        text = await fetched(workers, "/api/v1/history/ABS?format=ndjson&limit=3000")
        assert text.count("\n") == 3000
        await until(lambda: shelf.open == 0)
        handler = QuestionHandler(service)
        query = HistoryQuery(symbol="ABS", limit=3000)
        assert len(await handler.answer(ipc.NextPage(1, query, None))) == 1000  # type: ignore[arg-type]  it is a list
        assert shelf.open == 1
        await handler.answer(ipc.EndExport(1))
        assert shelf.open == 0
        await handler.answer(ipc.NextPage(2, query, None))
        await handler.close()
        assert shelf.open == 0


async def test_one_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "SILENCE", 3.0)
    async with working() as workers:
        worker = workers.workers[0]
        pid = worker.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        await back(worker, pid)


async def test_one_that_takes_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    async with working() as workers:
        monkeypatch.setattr(process, "MAX_WAITING", 100_000)
        worker = workers.workers[0]
        pid = worker.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        offset = 1
        async with asyncio.timeout(30):
            while alive(pid):
                offset += 1
                cycle(workers, offset, 10.0)
                await asyncio.sleep(0.001)
        await back(worker, pid)
    assert "took nothing" in next(line["reason"] for line in lines if line["event"] == "Gateway worker died")


async def test_the_local_token_opens_every_worker(tmp_path: Path, lines: Lines) -> None:
    async with working(Service(home=tmp_path), auth="tokens") as workers:
        token = workers.local_token
        assert token
        headers = {"Authorization": f"Bearer {token}"}
        async with one_on_each(workers, lines, additional_headers=headers) as clients:
            for client in clients.values():
                assert (await client.ask(type="status"))["type"] == "authenticated"
                assert (await client.hear())["type"] == "status"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(
                f"ws://127.0.0.1:{workers.port}", additional_headers={"Authorization": "Bearer zlt_no"}
            )
    assert token not in str(lines)


async def test_a_new_certificate_reaches_every_worker(tmp_path: Path, lines: Lines) -> None:
    files = Files(tmp_path)
    async with (
        working(**files.settings) as workers,
        one_on_each(workers, lines, "wss", ssl=files.trust) as clients,
    ):
        assert sorted(clients) == [1, 2]
        files.issue("localhost", "127.0.0.1")
        workers.reload_tls()

        def told() -> set[int]:
            return {line["worker"] for line in lines if line["event"] == "TLS certificate reloaded"}

        await until(lambda: told() == {1, 2})


async def test_a_status_arrives_as_it_was_sent() -> None:
    service = Service(next_cycle=now_text(), alerts=[], pocketbase_url="http://localhost:8090")
    sent = ipc.StatusNow(ipc.Now(service.status(), {"ABS": SILENT}, {1: 3, 2: 4}))
    reader = asyncio.StreamReader()
    reader.feed_data(ipc.to_frame(sent))
    assert await ipc.from_owner(reader) == sent


def test_numbers_of_several_are_sums_by_name_and_labels() -> None:
    one, two = Sample("a", "", 1, {"x": "1"}), Sample("a", "", 2, {"x": "2"})
    assert merged([one, two, one]) == [Sample("a", "", 2, {"x": "1"}), two]


async def test_a_new_epoch_reaches_all_workers_and_those_that_start_later(lines: Lines) -> None:
    async with working() as workers, one_on_each(workers, lines) as clients:
        for client in clients.values():
            await client.subscribe(mode="changes")
        cycle(workers, 7, 7.0)
        for client in clients.values():
            assert (await client.hear())["position"]["offset"] == 7
        workers.begin_epoch({"ABS": quote("ABS", 5.0)}, Position("e2", 4))
        for client in clients.values():
            gap, snapshot, end = [await client.hear() for _ in range(3)]
            assert (gap["type"], gap["to"]) == ("gap", {"epoch": "e2", "offset": 4})
            assert [one["price"] for one in snapshot["data"]] == [5.0]
            assert end["type"] == "snapshot_end"
        pids = [worker.pid for worker in workers.workers]
        for pid in pids:
            os.kill(pid or 0, signal.SIGKILL)
        for worker, pid in zip(workers.workers, pids, strict=True):
            await back(worker, pid)
        async with websockets.connect(f"ws://127.0.0.1:{workers.port}") as socket:
            client = Client(socket)
            assert (await client.hear())["position"] == {"epoch": "e2", "offset": 4}


async def test_workers_drain_before_they_stop(lines: Lines) -> None:
    async with working(drain_seconds=1.0) as workers, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{workers.port}/health/node"

        async def node() -> int:
            async with http.get(url, headers={"Connection": "close"}) as answer:
                return answer.status

        assert await node() == 200
        draining = asyncio.create_task(workers.drain())
        async with asyncio.timeout(1), one_on_each(workers, lines):
            while await node() == 200:
                await asyncio.sleep(0.01)
        await draining


async def test_a_worker_tells_balancers_that_its_owner_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves what it has: a balancer has better nodes to send clients to."""
    service = Service()
    ours, theirs = socket.socketpair()
    with theirs:
        _, writer = await asyncio.open_unix_connection(sock=ours)
        owner = OwnerProxy(writer, setup_of(service))
        assert owner.status().node_troubles == []
        monkeypatch.setattr(owner_proxy, "NODE_SILENCE", 0.0)
        assert owner.status().node_troubles == ["the service has sent nothing for 0 s"]
        owner.close()
        assert owner.status().node_troubles == ["the service is not there"]
        writer.close()


def setup_of(service: Service) -> ipc.Setup:
    return ipc.Setup(
        number=1,
        version="9.9.9",
        config=GatewayConfig(),
        market=MarketConfig(),
        home=Path("no-home"),
        local_token="",
        log_level=logging.INFO,
        members=[],
        now=ipc.Now(service.status(), {}, {}),
        quotes={},
        position=None,
        last=None,
    )
