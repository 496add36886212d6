import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zlotick.errors import AlreadyRunning
from zlotick.sqlite.lock import OwnerLock

HOLD = """
import sys
from pathlib import Path
from zlotick.sqlite.lock import OwnerLock
OwnerLock(Path(sys.argv[1])).acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def test_kill_9_of_the_owner_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout
        assert owner.stdout.readline() == "locked\n"
        lock = OwnerLock(path)
        with pytest.raises(AlreadyRunning) as refused:
            lock.acquire()
        assert f"{path} is in use by process {owner.pid}" in str(refused.value)
        assert "service.data_dir" in str(refused.value)
        owner.send_signal(signal.SIGKILL)
    lock.acquire()
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_released_twice_is_released(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path / "journal.sqlite")
    for _ in range(3):
        lock.acquire()
        lock.release()
        lock.release()


def test_a_long_stale_content_is_replaced(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path / "journal.sqlite")
    lock.path.write_text("123456789\nsomething longer than a process number")
    lock.acquire()
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()
