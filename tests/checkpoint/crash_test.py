#!/usr/bin/env python3
"""Saves that end too early: killed at every call that touches the disk (R2), at random times (R3), or on a disk that fails (R4).
What is loaded after is always whole, and never older than the last save that said it was done.

  crash_test.py TOOL SHIM points|random|disk
"""
import errno
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOOL, SHIM = sys.argv[1:3]


def run(*arguments, env=None, limit=None, stderr=subprocess.PIPE):
    def before():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return subprocess.run([TOOL, *map(str, arguments)], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60,
                          env={**os.environ, **(env or {})}, preexec_fn=before)


def shimmed(folder, at, *arguments, error=0):
    preload = {"LD_PRELOAD": SHIM, "CRASH_FOLDER": folder, "CRASH_AT": str(at), "CRASH_COUNT": folder + ".count"}
    if error:
        preload["CRASH_ERRNO"] = str(error)
    return run(*arguments, env=preload)


def loaded(folder):
    """The step that a load finds, 0 for none; its values are checked by the tool."""
    done = run("load", folder)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}"
    return 0 if done.stdout == "none\n" else int(done.stdout.split()[1])


def saved(folder, *steps, keep):
    for step in steps:
        done = run("save", folder, step, keep)
        assert done.returncode == 0, done.stderr


FILES = ("state.h5", "MANIFEST.json")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EXDEV, errno.EROFS, errno.EDQUOT)

# The steps there are, the one to save, how many are kept.
SCENARIOS = {"first": ((), 1, 1), "next, the one before removed": ((1,), 2, 1), "next of three": ((1, 2, 3), 4, 3), "the same again": ((1,), 1, 1),
             "the same again of two": ((1, 2), 2, 2), "a damaged one again": ((1, 2), 2, 2)}


def scenario(top, name):
    steps, step, keep = SCENARIOS[name]
    start = os.path.join(top, "start")
    shutil.rmtree(start, ignore_errors=True)
    os.makedirs(start)
    saved(start, *steps, keep=keep)
    if name.startswith("a damaged"):
        with open(f"{start}/step-2/state.h5", "r+b") as file:
            file.truncate(100)
    return start, loaded(start), step, keep


def again(start, folder):
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)


def in_order(name, calls, step):
    """What makes a save safe when the machine stops, which a killed process does not show: each file is on the disk before the next begins, both
    before the folder has its name, and the name is, too, before anything is removed."""
    wanted = (f"mkdir step-{step}.tmp", "write state.h5", "fsync state.h5", "write MANIFEST.json", "fsync MANIFEST.json", f"fsync step-{step}.tmp",
              f"renameat2 step-{step}", "fsync run")
    at = [calls.index(call) if call in calls else -1 for call in wanted]
    assert -1 not in at and at == sorted(at), f"{name}: {calls}"
    for file in FILES:
        last = max(i for i, call in enumerate(calls) if call == f"write {file}")
        assert f"fsync {file}" in calls[last:], f"{name}: {calls}"
    removed = [i for i, call in enumerate(calls) if call.startswith(("unlinkat", "remove"))]
    assert min(removed, default=len(calls)) > at[-1], f"{name}: {calls}"


def harmless(call, error):
    """Whether a save to which this call is refused is done all the same, with 0. After any other it ends with 74 and says what failed."""
    what, name = call.split()
    if what in ("unlinkat", "remove"):
        return True  # of an older step, or of what was swapped out: the new one's name is on the disk by then (in_order), and what stays goes later
    if what == "close":
        return name not in FILES  # a folder's, opened to be synced: nothing was written by it. A network disk may say at a file's that it is full
    # How a file system says that it cannot do this at all: sync a folder, where a rename is all there is, or exchange names, for which there is
    # another way. Of a file EINVAL is a failure as any.
    return error == errno.EINVAL and (what == "renameat2" or what == "fsync" and name not in FILES)


def points(top):
    """Killed at call k, or call k failing, for every k."""
    killed = failed = 0
    calls_seen, tried = set(), set()
    for number, name in enumerate(SCENARIOS):
        start, before, step, keep = scenario(top, name)
        folder = os.path.join(top, "run")
        again(start, folder)
        assert shimmed(folder, 0, "save", folder, step, keep).returncode == 0
        with open(folder + ".count") as file:
            count, *calls = file.read().splitlines()
        count = int(count)
        assert count == len(calls) >= 10, f"{count} calls: is the shim in use?"
        in_order(name, calls, step)
        kinds = [re.sub(r"step-\d+", "step", call) for call in calls]
        calls_seen.update(kinds)
        for k in range(1, count + 1):
            again(start, folder)
            done = shimmed(folder, k, "save", folder, step, keep)
            assert done.returncode == -signal.SIGKILL, f"{name}, call {k}: {done.returncode} {done.stderr}"
            found = loaded(folder)
            assert found in (before, step), f"{name}, killed at call {k} of {count}: step {found} is loaded"
            assert run("clean", folder).returncode == 0
            assert loaded(folder) == found, f"{name}, killed at call {k} of {count}: cleaning loses step {found}"
            assert not [entry for entry in os.listdir(folder) if ".tmp" in entry]
            saved(folder, step + 1, keep=keep)
            assert loaded(folder) == step + 1
            killed += 1
            # Half of them here, the others where another scenario makes the same call: `tried`.
            for error in ERRORS[(k + number) % 2::2] + ((errno.EINVAL,) if "again" in name else ()):
                again(start, folder)
                done = shimmed(folder, k, "save", folder, step, keep, error=error)
                place = f"{name}, call {k} of {count} ({calls[k - 1]}) fails with {errno.errorcode[error]}"
                assert done.returncode == (0 if harmless(calls[k - 1], error) else 74), f"{place}: {done.returncode} {done.stderr}"
                found = loaded(folder)
                if done.returncode == 0:
                    assert found == step, f"{place}: step {found} is loaded"
                    if calls[k - 1].startswith(("unlinkat", "remove")):
                        saved(folder, step + 1, keep=keep)
                        assert run("clean", folder).returncode == 0
                        left, wanted = sorted(os.listdir(folder)), [f"step-{n}" for n in range(step + 2 - keep, step + 2)]
                        assert left == wanted, f"{place}: {left} after the next save and start"
                else:
                    assert found in (before, step), f"{place}: step {found} is loaded"
                    # On a full disk the next save needs the room. Of a swap both may be needed.
                    if "again" not in name:
                        assert not [entry for entry in os.listdir(folder) if ".tmp" in entry], f"{place}: {os.listdir(folder)}"
                    assert folder in done.stderr and os.strerror(error) in done.stderr and done.stderr.count("\n") == 1, f"{place}: {done.stderr}"
                tried.add((kinds[k - 1], error))
                failed += 1
    untried = {(kind, error) for kind in calls_seen for error in ERRORS} - tried
    assert not untried, untried
    print(f"checkpoint: killed at {killed} points and failed at {failed}: whole and not older each time")


def random_kills(top, count=200):
    rng = random.Random(3)
    folder = os.path.join(top, "run")
    last = kills = went_on = amid = 0
    for _ in range(count):
        process = subprocess.Popen([TOOL, "loop", folder, str(last + 1), "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(rng.uniform(0.01, 0.15))
        process.kill()
        out, text = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"not killed, but ended with {process.returncode}: {text}"
        kills += 1
        told = out.split()
        went_on += bool(told)
        last = max([last, *map(int, told[1::2])])
        found = loaded(folder)
        assert found >= last, f"step {last} was saved, {found} is loaded"
        amid += os.path.exists(folder) and any(".tmp" in entry for entry in os.listdir(folder))
        assert run("clean", folder).returncode == 0
        assert not [entry for entry in os.listdir(folder) if ".tmp" in entry]
        last = found
    # On a busy machine some are killed before their first save; were it nearly all, this would have shown nothing.
    assert kills == count and last >= went_on >= count // 10 and amid >= count // 40, (kills, last, went_on, amid)
    print(f"checkpoint: {kills} kills, {amid} amid a save, while it reached step {last} in {went_on} lives: nothing unreadable, nothing lost")


def disk(top):
    start, before, step, keep = scenario(top, "next of three")
    folder = os.path.join(top, "run")
    size = sum(os.path.getsize(f"{start}/step-3/{name}") for name in os.listdir(f"{start}/step-3"))

    def refused(done, where, words):
        assert done.returncode == 74, f"{where}: {done.returncode} {done.stderr}"
        for word in (folder, *words):
            assert word in done.stderr, f"{where}: '{word}' is not in {done.stderr}"
        assert loaded(folder) == before
    for limit in (0, 1, size // 2):
        again(start, folder)
        refused(run("save", folder, step, keep, limit=limit), f"RLIMIT_FSIZE {limit}", [os.strerror(errno.EFBIG), "bytes needed", "free"])
    again(start, folder)
    with open("/dev/full", "w") as full:
        assert run("save", folder, step, keep, stderr=full).returncode == 0
    assert loaded(folder) == step
    if os.geteuid() != 0:
        again(start, folder)
        os.chmod(folder, 0o500)
        refused(run("save", folder, step, keep), "a read-only folder", [os.strerror(errno.EACCES)])
        os.chmod(folder, 0o700)
    if os.geteuid() == 0:
        again(start, folder)
        if subprocess.run(["mount", "--bind", folder, folder], stderr=subprocess.DEVNULL).returncode != 0:
            print("checkpoint: SKIPPED: a read-only disk (no right to mount here)")
        else:
            try:
                subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
                refused(run("save", folder, step, keep), "a read-only disk", [os.strerror(errno.EROFS)])
            finally:
                subprocess.run(["umount", folder], check=True)
    for share in (0.5, 1, 1.5):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], stderr=subprocess.DEVNULL).returncode != 0:
            print("checkpoint: SKIPPED: a full tmpfs (no right to mount here)")
            break
        try:
            shutil.copytree(start, folder, dirs_exist_ok=True)
            space = os.statvfs(folder)
            room = (space.f_blocks - space.f_bfree) * space.f_frsize + int(share * size)
            subprocess.run(["mount", "-o", f"remount,size={room}", folder], check=True)
            done = run("save", folder, step, keep)
            if share < 1:
                refused(done, f"tmpfs with room for {share}", [os.strerror(errno.ENOSPC), "bytes needed", "free"])
            else:
                assert done.returncode in (0, 74) and loaded(folder) == (step if done.returncode == 0 else before), done.stderr
        finally:
            subprocess.run(["umount", folder], check=True)
    print("checkpoint: full disks are said, and what was there is left")


with tempfile.TemporaryDirectory() as top:
    {"points": points, "random": random_kills, "disk": disk}[sys.argv[3]](os.path.realpath(top))
