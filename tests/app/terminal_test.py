#!/usr/bin/env python3
"""What a run shows while it trains: on a terminal one live line a stage, with bar, step, losses, rows a second and time left; elsewhere a plain log."""
import os
import pathlib
import pty
import re
import select
import subprocess
import sys
import tempfile
import fcntl
import struct
import termios

from tiny_world import World, metrics


def on_terminal(command, columns):
    """All that a program writes to a terminal of that width on standard error, and its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, close_fds=True)
    os.close(slave)
    written = b""
    while True:
        ready, _, _ = select.select([master], [], [], 120)
        assert ready, "nothing was written for two minutes"
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(master)
    return written.decode(), process.wait(60)


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        recipe = world.recipe(steps=60, expert_steps=20)
        command = world.command("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/live")
        text, code = on_terminal(command, 120)
        assert code == 0, text[-3000:]
        live = [line for line in text.split("\r\x1b[K") if line.startswith("activate/main [")]
        assert len(live) >= 2, text[:3000]
        shape = re.compile(r"activate/main \[[=> ]{8,32}\]  \d+/60  loss \d+\.\d+ \(bce \d+\.\d+, ce \d+\.\d+\), \d+\.\d+ rows/s(  ETA [\d.]+ \w+( \d\d s)?)?")
        assert all(shape.fullmatch(line.split("\n")[0].rstrip("\r")) for line in live), live[:3]
        assert any("ETA" in line for line in live), live
        assert all(len(line.split("\n")[0].rstrip("\r")) < 120 for line in live)
        # What stays on the screen is the end of each stage, and no control characters beside the live line's own.
        assert re.search(r"info activate/main  60/60  loss .* rows/s  in [\d.]+ ", text), text[-3000:]
        assert set(re.findall(r"\x1b\[[^K]*?[A-Za-z]", text)) <= {"\x1b[K"}

        shares = [row["peak_share"] for row in metrics(f"{folder}/live", "activate/main").values()]
        assert len(shares) == 60 and all(0 < share < 1 for share in shares), shares
        waits = [row["wait_share"] for row in metrics(f"{folder}/live", "activate/main").values()]
        assert len(waits) == 60 and all(0 <= share < 1 for share in waits), waits

        narrow, code = on_terminal(world.command("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/narrow", "--stages", "encode,activate"), 50)
        assert code == 0
        lines = [line.split("\n")[0].rstrip("\r") for line in narrow.split("\r\x1b[K") if line.startswith("activate/main ")]
        assert lines and all(len(line) < 50 for line in lines), lines[:3]

        # Behind mpirun, by the launcher.
        launcher = [str(pathlib.Path(__file__).resolve().parents[2] / "launch/run.sh"), "--ranks", "2"]
        text, code = on_terminal([*launcher, *world.command("thinkrec_train", "--config", recipe, "--run-dir", f"{folder}/ranks",
                                                            "--stages", "encode,activate")], 110)
        assert code == 0, text[-3000:]
        live = [line for line in text.split("\r\x1b[K") if line.startswith("activate/main [")]
        assert len(live) >= 2 and all(shape.fullmatch(line.split("\n")[0].rstrip("\r")) for line in live), text[:3000]
        assert all(len(line.split("\n")[0].rstrip("\r")) < 110 for line in live)

        plain = world.train(recipe, f"{folder}/plain", ranks=2).stderr
        assert "\x1b" not in plain and "\r" not in plain, plain
        assert re.search(r"^\d\d:\d\d:\d\d info activate/main  1/60  \(2 %\)  loss [\d.]+ \(bce [\d.]+, ce [\d.]+\), [\d.]+ rows/s$", plain, re.M), plain
        assert plain.count("activate/main  1/60") == 1, "one rank speaks"
    print("terminal: passed")


if __name__ == "__main__":
    main()
