#!/usr/bin/env python3
"""How long clients of thinkrec_serve wait when it serves a real run: requests of the test rows' users over loopback, by 1, 8 and 32 clients at
once. Prints a table of requests a second, p50 and p99; fails when a reply is missing, is another user's, or is not the one that the same
request got when it came alone.

  serve_load.py RUN_DIR [--programs build/release] [--clients 1,8,32] [--requests 32] [--top 3] [--explain] [-- OPTION ...]

What follows `--` goes to thinkrec_serve. Run it on a quiet machine.
"""
import argparse
import concurrent.futures
import csv
import http.client
import json
import math
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time


def serve(program, run, options):
    server = subprocess.Popen([program, "--run-dir", run, "--port", "0", "--queue", "64", "--deadline-ms", "600000", *options], stderr=subprocess.PIPE,
                              text=True)
    said = []
    for line in server.stderr:
        said.append(line)
        if found := re.search(r"is served on \S+:(\d+)$", line.strip()):
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return server, int(found.group(1))
    sys.exit(f"serve_load: thinkrec_serve did not start: {''.join(said[-5:])}")


def ask(port, user, arguments):
    """The reply, and the seconds that it took."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/v1/recommend", json.dumps({"user": user, "top": arguments.top, "explain": arguments.explain, "id": f"of {user}"}),
                       {"Content-Type": "application/json"})
    reply = connection.getresponse()
    text = reply.read()
    taken = time.perf_counter() - start
    if reply.status != 200:
        sys.exit(f"serve_load: user {user}: {reply.status} {text[:200]!r}")
    return json.loads(text), taken


def same(one, other):
    """Equal up to rounding, which depends on who shares a batch and may turn a word of a reason."""
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-3)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(key == "reason" or same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--programs", default="build/release")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--top", type=int, default=3)
    parser.add_argument("--explain", action="store_true")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:cut])
    arguments.options = words[cut + 1:]
    with open(pathlib.Path(arguments.run) / "scores.csv", newline="") as file:
        users = list(dict.fromkeys(row["user"] for row in csv.DictReader(file)))[:arguments.requests]
    server, port = serve(f"{arguments.programs}/thinkrec_serve", arguments.run, arguments.options)
    try:
        alone = {user: ask(port, user, arguments)[0] for user in users}
        print("| clients | requests/s | p50 | p99 |\n|---|---|---|---|")
        for clients in map(int, arguments.clients.split(",")):
            start = time.perf_counter()
            with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                done = list(pool.map(lambda user: ask(port, user, arguments), users))
            seconds = time.perf_counter() - start
            for user, (reply, _) in zip(users, done):
                if not same(reply, alone[user]):
                    sys.exit(f"serve_load: user {user} beside {clients - 1} others got {reply}, alone {alone[user]}")
            taken = sorted(time_taken for _, time_taken in done)
            at = [1e3 * taken[math.ceil(share * len(taken)) - 1] for share in (.5, .99)]
            print(f"| {clients} | {len(users) / seconds:.2f} | {at[0]:.0f} ms | {at[1]:.0f} ms |", flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(600)
    if code != 0:
        sys.exit(f"serve_load: thinkrec_serve ended with {code}")


if __name__ == "__main__":
    main()
