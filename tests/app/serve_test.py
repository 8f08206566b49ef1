#!/usr/bin/env python3
"""thinkrec_recommend for many users and thinkrec_serve on a tiny run: the same answers alone, in batches and over HTTP; a clean stop."""
import concurrent.futures
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from tiny_world import World


class Server:
    """A running thinkrec_serve; leaving it sends SIGTERM and holds it to exit code 0."""

    def __init__(self, world, *arguments, **more):
        self.process = subprocess.Popen(world.command("thinkrec_serve", "--port", "0", *arguments), stderr=subprocess.PIPE, text=True, **more)
        self.log = ""
        for line in self.process.stderr:
            self.log += line
            found = re.search(r"is served on \S+:(\d+)$", line.strip())
            if found:
                self.url = f"http://127.0.0.1:{found.group(1)}"
                return
        raise AssertionError(f"thinkrec_serve did not start:\n{self.log}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
        elif self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.log += self.process.communicate(timeout=60)[1]
        assert kind or self.process.returncode == 0, f"exit code {self.process.returncode}\n{self.log}"

    def ask(self, path, body=None, token=None):
        """(code, text) of a GET, or of a POST of `body`."""
        request = urllib.request.Request(self.url + path, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as reply:
            return reply.code, reply.read().decode()

    def recommend(self, body, code=200, token=None):
        got, text = self.ask("/v1/recommend", body, token)
        assert got == code, (body, got, text)
        return json.loads(text)


def stop_listening(process, port):
    """Makes accept() fail in another process; False where this one may not take its sockets."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.pidfd_open(process.pid)
    try:
        for name in os.listdir(f"/proc/{process.pid}/fd"):
            if not os.readlink(f"/proc/{process.pid}/fd/{name}").startswith("socket:"):
                continue
            taken = libc.syscall(438, handle, int(name), 0)  # pidfd_getfd
            if taken < 0:
                return False
            with socket.socket(fileno=taken) as found:
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and found.getsockname()[1:] == (port,):
                    found.shutdown(socket.SHUT_RDWR)
                    return True
    finally:
        os.close(handle)
    raise AssertionError(f"nobody listens on {port}")


def same(one, other):
    """Replies that differ by rounding alone: what shares a batch may change the last bits."""
    assert one["user"] == other["user"] and one["gate"]["decision"] == other["gate"]["decision"], (one, other)
    assert abs(sum(one["gate"]["weights"]) - 1) < 1e-6, one
    scores = [{item["id"]: item["score"] for item in reply["items"]} for reply in (one, other)]
    assert scores[0].keys() == scores[1].keys(), (one, other)
    assert all(abs(score - scores[1][item]) < 1e-5 for item, score in scores[0].items()), (one, other)


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        run = f"{folder}/run"
        world.train(world.recipe(steps=2, expert_steps=1), run)
        recommend = ("thinkrec_recommend", "--run-dir", run)
        fixed = [f"i{i}" for i in range(6)]

        # One user.
        alone = json.loads(world.run(*recommend, "--user", "u1", "--candidates", ",".join(fixed), "--top", "6", "--json").stdout)
        assert sorted(item["id"] for item in alone["items"]) == fixed, alone
        ranked = [item["score"] for item in alone["items"]]
        assert ranked == sorted(ranked, reverse=True) and all(0 < item["probability"] < 1 for item in alone["items"]), alone
        assert all("reason" not in item for item in alone["items"]), alone

        # Many users, in one batch and one by one.
        requests = [{"user": f"u{u}", "candidates": fixed, "top": 6, "id": f"request {u}"} for u in range(10)]
        requests.append({"user": "u2", "top": 2, "explain": True})
        users = f"{folder}/users.jsonl"
        with open(users, "w") as file:
            file.writelines(json.dumps(request) + "\n" for request in requests)
        answers = {}
        for batch in (16, 1):
            done = world.run(*recommend, "--users", users, "--batch", str(batch), "--max-new-tokens", "6")
            answers[batch] = [json.loads(line) for line in done.stdout.splitlines()]
            assert len(answers[batch]) == len(requests), done.stdout
        for request, together, single in zip(requests, answers[16], answers[1]):
            assert together["user"] == request["user"] and together.get("id") == request.get("id"), (request, together)
            same(together, single)
        same(alone, answers[16][1])
        assert len(answers[16][-1]["items"]) == 2 and all("reason" in item for item in answers[16][-1]["items"]), answers[16][-1]

        # In 8 bits the reasons may differ; what is recommended does not.
        in_8_bits = json.loads(world.run(*recommend, "--user", "u2", "--top", "2", "--explain", "--reason-precision", "int8", "--json",
                                         "--max-new-tokens", "6").stdout)
        same(in_8_bits, answers[16][-1])
        assert all("reason" in item for item in in_8_bits["items"]), in_8_bits

        # Files and command lines that are wrong.
        with open(users, "a") as file:
            file.write('{"user": "nobody"}\n')
        done = world.run(*recommend, "--users", users, "--max-new-tokens", "6", code=65)
        assert "1 of 12 requests" in done.stderr and "nobody" in json.loads(done.stdout.splitlines()[-1])["error"], done.stderr
        with open(users, "a") as file:
            file.write('{"user": "u1", "tpo": 3}\n')
        done = world.run(*recommend, "--users", users, code=65)
        assert "users.jsonl:13" in done.stderr and "'tpo'" in done.stderr and "'top'" in done.stderr and not done.stdout, done.stderr
        many = f"{folder}/many.jsonl"
        json.dump({"user": "u1", "candidates": [f"x{i}" for i in range(1000)]}, open(many, "w"))
        done = world.run(*recommend, "--users", many, code=65)
        assert "1 of 1 requests name a user or an item that is not in the data" in done.stderr, done.stderr
        assert "--users and --top" in world.run(*recommend, "--users", users, "--top", "3", code=64).stderr
        assert "--user or --users" in world.run(*recommend, code=64).stderr

        # Over HTTP.
        with Server(world, "--run-dir", run, "--max-new-tokens", "6", "--max-wait-ms", "20") as server:
            assert server.ask("/health") == (200, '{"status":"ok"}\n')
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                replies = list(pool.map(server.recommend, requests[:10] * 3))
            for request, reply in zip(requests[:10] * 3, replies):
                assert reply["id"] == request["id"], (request, reply)
                same(reply, answers[1][int(request["user"][1:])])
            assert len(server.recommend(requests[-1])["items"]) == 2
            assert "nobody" in server.recommend({"user": "nobody"}, code=404)["error"]
            assert "i999" in server.recommend({"user": "u1", "candidates": ["i999"]}, code=400)["error"]
            assert "'top'" in server.recommend({"user": "u1", "top": 0}, code=400)["error"]
            assert "at most 20" in server.recommend({"user": "u1", "top": 21, "explain": True}, code=400)["error"]
            metrics = server.ask("/metrics")[1]
            assert 'thinkrec_requests_total{code="200"} 31\n' in metrics and 'thinkrec_requests_total{code="404"} 1\n' in metrics, metrics
            # SIGTERM with a request in flight: it is answered.
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                last = pool.submit(server.recommend, {"user": "u3", "candidates": [f"i{i}" for i in range(30)], "top": 20, "explain": True})
                time.sleep(0.05)
                server.process.send_signal(signal.SIGTERM)
                try:
                    assert len(last.result()["items"]) > 0
                except urllib.error.URLError:  # the signal was there before the request
                    pass

        # A server that cannot take connections any more ends.
        deaf = Server(world, "--run-dir", run)
        try:
            address = deaf.url.removeprefix("http://")
            if stop_listening(deaf.process, int(address.split(":")[1])):
                said = deaf.process.communicate(timeout=60)[1]
                assert deaf.process.returncode == 74 and f"{address} takes no connections any more" in said, said
            else:
                print("serve: skipped: pidfd_getfd is not allowed here, so no server lost its socket")
        finally:
            deaf.process.kill()

        # Who may ask.
        assert "--token-env" in world.run("thinkrec_serve", "--run-dir", run, "--host", "0.0.0.0", code=78).stderr
        named = ("--run-dir", run, "--token-env", "THINKREC_TEST_TOKEN")
        assert "THINKREC_TEST_TOKEN is not set" in world.run("thinkrec_serve", *named, code=78).stderr
        with Server(world, *named, "--host", "0.0.0.0", env=dict(os.environ, THINKREC_TEST_TOKEN="a secret of the test")) as server:
            server.recommend(requests[0], code=401)
            server.recommend(requests[0], code=401, token="a secret of the tests")
            same(server.recommend(requests[0], token="a secret of the test"), answers[1][0])
        assert "a secret" not in server.log, server.log
    print("serve: passed")


if __name__ == "__main__":
    main()
