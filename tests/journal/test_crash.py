"""The journal of a process that dies, of one that is in the way, and on a disk that is full."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import missing

from midwatch.model import events as e
from midwatch.model.errors import Deposed, JournalError
from midwatch.shell.journal.sqlite import SqliteJournal, open_readonly
from midwatch.shell.leader import Holder, Lease, LeaseRow, in_the_way

WRITER = """
import sys
from midwatch.model import events as e
from midwatch.shell.journal.sqlite import SqliteJournal
journal = SqliteJournal(sys.argv[1], ballast_bytes=0)
n = journal.head().seq
while True:
    recorded = journal.append([e.GapOpened(f"s{(n + k) % 20}", str(n + k + 1)) for k in range(1 + n % 7)], float(n))
    n = recorded[-1].seq
    print(n, flush=True)
    if n % 200 < 7:
        journal.snapshot(journal.load_state())
"""


def test_kill_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    dice = random.Random(7)
    acknowledged = 0
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(dice.randint(3, 12))]
            assert all(said), "the next process must get the lease of a dead one at once"
            time.sleep(dice.uniform(0, 0.02))
            writer.kill()
            acknowledged = int((said[-1] + writer.stdout.read()).split()[-1])
        reader = open_readonly(path)
        checked = reader.verify()
        assert checked.ok, checked
        assert checked.entries >= acknowledged
        state = reader.load_state()
        assert state.seq == checked.entries
        assert state.gaps[f"s{(state.seq - 1) % 20}"] == str(state.seq)
        reader.close()
    assert acknowledged > 100


HOLDER = """
import sys, time
from midwatch.shell.journal.sqlite import SqliteJournal
journal = SqliteJournal(sys.argv[1], ballast_bytes=0, lease_seconds=float(sys.argv[2]))
print("held", flush=True)
sys.stdin.readline()
try:
    journal.renew()
    journal.lease.renew()
    print("renewed", flush=True)
except Exception as error:
    print(type(error).__name__, journal.held(0), flush=True)
"""


def test_a_second_process_is_turned_away_and_told_why(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path), "60"], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(JournalError, match=f"pid {other.pid} ") as caught:
            SqliteJournal(path, ballast_bytes=0)
        assert "another folder" in caught.value.hint
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "renewed\n"
    SqliteJournal(path, ballast_bytes=0).close()


def test_a_stalled_holder_is_deposed_once_its_lease_ran_out(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path), "0.3"], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "held\n"
        time.sleep(0.4)
        journal = SqliteJournal(path, ballast_bytes=0)
        assert journal.epoch == 2
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "Deposed False\n"
    journal.append([e.GapOpened("a", "x")], 1.0)
    journal.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_held_ends_before_the_row_does(tmp_path: Path) -> None:
    clock = Clock()
    journal = SqliteJournal(tmp_path / "j.db", ballast_bytes=0, lease_seconds=15, monotonic=clock)
    assert journal.held(8)
    clock.now += 6.9
    assert journal.held(8)
    clock.now += 0.2
    assert not journal.held(8)
    journal.renew()
    assert journal.held(8)
    clock.now += 100
    assert not journal.held(0)
    journal.append([e.GapOpened("a", "x")], 1.0)  # nobody took over: writing is still safe, acting is not
    journal.renew()
    assert journal.held(8)
    journal.close()
    assert not journal.held(0)


def test_whose_lease_it_is() -> None:
    me = Holder.me()
    elsewhere = Holder("other-host", 1, 1, "boot", "ns")
    gone = Holder(me.host, me.pid, me.started + 1, me.boot, me.namespace)  # its pid was given to a younger process
    row = LeaseRow(1, elsewhere, expires_at=1000.0, expires_monotonic=0.0)
    assert in_the_way(None, me, 0, 0) == ""
    assert "other-host" in in_the_way(row, me, wall=999.0, monotonic=5000.0)
    assert in_the_way(row, me, wall=1000.0, monotonic=0.0) == ""
    assert in_the_way(LeaseRow(1, gone, 1000.0, 1000.0), me, 0, 0) == ""
    assert in_the_way(LeaseRow(1, me, 1000.0, 1000.0), me, 0, 0) == ""


def test_a_lost_lease_is_not_held() -> None:
    class Keeper:
        def take_lease(self, me: Holder, seconds: float) -> int:
            return 4

        def renew_lease(self, epoch: int, seconds: float) -> None:
            raise Deposed("gone")

        def release_lease(self, epoch: int) -> None:
            raise AssertionError("not ours to release")

    lease = Lease(Keeper())
    assert lease.take() == 4 and lease.held()
    with pytest.raises(Deposed):
        lease.renew()
    assert not lease.held(0)
    lease.release()


# A full disk, for real: a tmpfs of 8 MB in a mount namespace of its own.
ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from midwatch.model import events as e
from midwatch.model.errors import JournalError
from midwatch.shell.journal.sqlite import SqliteJournal
folder = Path(sys.argv[1])
journal = SqliteJournal(folder / "j.db", ballast_bytes=1024 * 1024)
assert journal.ballast.held
hog = (folder / "hog").open("wb", buffering=0)
try:
    while True:
        hog.write(bytes(4096))
except OSError:
    pass
done = 0
page = e.PostmortemWritten("inc-1", "x" * 4000)
try:
    while done < 5000:
        journal.append([page], 1.0)
        done += 1
except JournalError as error:
    print("full", error.hint)
print("appended", done, journal.ballast.held)
check = journal.verify()
assert check.ok and check.entries == done, check
hog.truncate(0)
journal.append([page], 2.0)
journal.lease.renew()
journal.ballast.take()
print("again", journal.verify().ok, journal.ballast.held)
"""


def test_a_full_disk_frees_the_ballast_first(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=8m none {tmp_path}"
    if not unshare or subprocess.run([unshare, "-Urm", "sh", "-c", mount], capture_output=True).returncode:
        missing("needs unshare(1) and user namespaces, to mount a small disk")
    done = subprocess.run(
        [unshare, "-Urm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    full, appended, again = done.stdout.splitlines()
    assert full == "full make room on that disk"
    _, count, held = appended.split()
    assert int(count) > 50 and held == "False"
    assert again == "again True True"


def test_no_room_and_no_ballast_is_a_journal_error(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db", ballast_bytes=0)
    journal.append([e.GapOpened("a", "x")], 1.0)
    with journal._writer.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalError) as caught:
        journal.append([e.PostmortemWritten("inc-1", "x" * 100_000)], 2.0)
    assert "room" in caught.value.hint
    assert journal.verify().entries == 1
    journal.close()
