#!/usr/bin/env python3
"""What programs leave behind and whom they talk to: no user, home or secret in what they write or say, files as the umask says; under strace
no connection but to this machine, and of each program no other started than it is meant to start.   discretion_test.py PROGRAMS SOURCE
Without strace, or where tracing is forbidden, nothing is said of connections and programs: exit code 77."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import types

from chat_server import ChatServer
from serve_test import Server
from tiny_world import World

# thinkrec_synthesize reads the key and thinkrec_serve the token, both below. The user's name is read by no program of ours; a library might.
KEY, TOKEN, NAME = "sk-not-a-real-key-9431", "not-a-real-token-2750", "ottilie-of-the-test"
SECRETS = {"OPENAI_API_KEY": KEY, "THINKREC_SERVE_TOKEN": TOKEN, "USER": NAME, "LOGNAME": NAME}
PLACES = ("made", "run", "exported")

# What each program starts: the guard where it reads a data file; thinkrec_train becomes thinkrec_train_stages.
GUARDED = ("synthesize", "eval", "export", "recommend", "serve", "tune", "inspect")
MEANT = {"thinkrec_prepare": set(), "thinkrec_check": set(), "thinkrec_bench": set(), "thinkrec_documents": set(),
         "thinkrec_train": {"thinkrec_train_stages", "thinkrec_check"}, **{f"thinkrec_{name}": {"thinkrec_check"} for name in GUARDED}}
NOT_ALONE = {"thinkrec_train_stages"}  # nobody calls it: it is traced as what thinkrec_train has become, in the same process


def use_everything(folder, endpoint, command):
    """Every program but thinkrec_serve, with relative paths, thinkrec_synthesize with a local model and with an endpoint;
    `command(program, *arguments, ranks)` runs one and returns what it said."""
    for place in PLACES:
        shutil.rmtree(os.path.join(folder, place), ignore_errors=True)
    os.makedirs(os.path.join(folder, "made"))
    said = command("thinkrec_prepare", "--format", "ratings", "--input", "raw", "--output", "made/data.h5")
    said += command("thinkrec_synthesize", "reasons", "--data", "made/data.h5", "--model", "model", "--rows", "2")
    said += command("thinkrec_synthesize", "reasons", "--data", "made/data.h5", "--backend", "openai", "--endpoint", endpoint, "--model", "m",
                    "--rows", "6")
    said += command("thinkrec_train", "--config", "recipe.yaml", "--run-dir", "run", ranks=2)
    said += command("thinkrec_eval", "--run-dir", "run")
    said += command("thinkrec_export", "--run-dir", "run", "--output", "exported")
    said += command("thinkrec_recommend", "--run-dir", "run", "--user", "u1")
    said += command("thinkrec_tune", "--config", "recipe.yaml", "--output", "made/tuned", "--seeds", "1")
    with open(os.path.join(folder, "made", "workload.jsonl"), "w") as out:
        out.write(json.dumps({"ids": [1, 2, 5, 3], "prompt_len": 2, "label": 1}) + "\n")
    said += command("thinkrec_bench", "--model", "model", "--adapter", "exported", "--workload", "made/workload.jsonl", "--batch", "1", "--steps", "1")
    said += command("thinkrec_check", "made/data.h5")
    for arguments in (["made/data.h5", "model/model.safetensors"], ["--check", "made/data.h5"], ["--reasons", "made/data.h5"],
                      ["--prompts", "1", "--config", "recipe.yaml"]):
        said += command("thinkrec_inspect", *arguments)
    said += command("thinkrec_documents", "--markdown", "made/options.md", "--share", "made/share")
    return said


def modes(folder, umask):
    """Files and folders from `folder` on whose mode is another than the umask leaves."""
    found = []
    for path, _, names in os.walk(folder):
        for full, most in [(path, 0o777), *((os.path.join(path, name), 0o666) for name in names)]:
            mode = stat.S_IMODE(os.stat(full).st_mode) & 0o777
            if mode != most & ~umask:
                found.append(f"{os.path.relpath(full, folder)} has mode {mode:o}")
    return found


def leaks(folder, words):
    """Files below `folder` that hold one of `words`."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            with open(full, "rb") as opened:
                content = opened.read()
            found += [f"{os.path.relpath(full, folder)} holds {word}" for word in words if word.encode() in content]
    return found


def discretion(world, folder, environment, server):
    def command(program, *arguments, ranks=0):
        done = world.run(program, *arguments, ranks=ranks, cwd=folder, env=environment)
        return done.stdout + done.stderr

    before = os.umask(0o077)
    try:
        said = use_everything(folder, server.endpoint, command)
        # This is meant to say in which folder it is, and where the libraries lie.
        environment_said = command("thinkrec_inspect", "--environment")
        with Server(world, "--run-dir", "run", "--token-env", "THINKREC_SERVE_TOKEN", cwd=folder, env=environment) as serving:
            serving.recommend({"user": "u1", "top": 2}, token=TOKEN)
            serving.recommend({"user": "u1", "top": 2}, token="another", code=401)
        said += serving.log
    finally:
        os.umask(before)
    assert server.keys and set(server.keys) == {f"Bearer {KEY}"}, server.keys
    # All paths were given as relative ones: what is absolute was found out by a program, and is not for others to read. What a user gives is said
    # as it was given.
    words = [*SECRETS.values(), environment["HOME"], folder, world.source]
    assert not [word for word in words if word in said], said
    assert not [word for word in (*SECRETS.values(), environment["HOME"]) if word in environment_said], environment_said
    for place in PLACES:
        found = leaks(os.path.join(folder, place), words) + modes(os.path.join(folder, place), 0o077)
        assert not found, f"{place}: {found}"
    # The search itself finds what it looks for.
    run, planted = os.path.join(folder, "run"), os.path.join(folder, "run", "planted")
    with open(planted, "w") as out:
        out.write("key " + KEY)
    os.chmod(planted, 0o644)
    assert leaks(run, words) == ["planted holds " + KEY] and modes(run, 0o077) == ["planted has mode 644"]
    print("no user, home, folder or secret in what a run says and leaves", flush=True)


def started(trace):
    """Programs that were started in a trace, by their whole paths."""
    lines = [line for line in trace.splitlines() if " = -1 " not in line]
    return [found[1] for found in (re.search(r'execve(?:at)?\((?:\w+, )?"([^"]*)"', line) for line in lines) if found]


def foreign(trace, waits=False):
    """Lines of a trace that connect or send to another machine, or wait for one; without the latter where it `waits`."""
    bad = []
    for line in trace.splitlines():
        call = re.search(r"\b(connect|sendto|sendmsg|bind)\(", line)
        if call and "AF_INET" in line:
            address = re.search(r'inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)"', line)
            any_address = () if call.group(1) == "bind" and not waits else ("0.0.0.0", "::")  # connecting to it stays here
            if not address or (address.group(1) or address.group(2)) not in ("127.0.0.1", "::1", *any_address):
                bad.append(line)
    return bad


def traced(world, folder, environment, server):
    """The same once more, each program alone, without mpirun, and with a umask that lets others read."""
    can = shutil.which("strace") is not None
    can = can and subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    log = os.path.join(folder, "trace.txt")
    strace = ["strace", "-f", "-qq", "-e", "trace=execve,execveat,connect,sendto,sendmsg,bind", "-o", log] if can else []
    seen = set()

    def trace_text():
        with open(log, errors="replace") as lines:
            return lines.read()

    def trace(*command):
        done = subprocess.run([*strace, *command], capture_output=True, text=True, errors="replace", timeout=300, cwd=folder, env=environment,
                              check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return trace_text() if can else ""

    def judge(program, text, wanted):
        """Holds a trace to the programs `wanted`, and to connections within this machine."""
        seen.add(program)
        wanted = {os.path.join(world.programs, name) for name in (program, *wanted)}
        assert set(started(text)) == wanted, f"{program} started {started(text)}, not {wanted}"
        assert not foreign(text), "\n".join(foreign(text)[:20])

    def command(program, *arguments, ranks=0):
        del ranks
        text = trace(os.path.join(world.programs, program), *arguments)
        if can:
            judge(program, text, MEANT[program])
            if "--endpoint" in arguments:
                assert "127.0.0.1" in text, "the endpoint was not seen: is the trace whole?"
        return ""

    def serve():
        """One request to thinkrec_serve, which listens for this machine alone; a stop by TERM."""
        traced_world = types.SimpleNamespace(command=lambda program, *arguments: [*strace, *world.command(program, *arguments)])
        with Server(traced_world, "--run-dir", "run", "--token-env", "THINKREC_SERVE_TOKEN", cwd=folder, env=environment) as serving:
            pid = serving.process.pid
            with open(f"/proc/{pid}/task/{pid}/children") as children:
                served = int(children.read().split()[0])
            try:
                assert len(serving.recommend({"user": "u1", "top": 2}, token=TOKEN)["items"]) == 2
            finally:
                os.kill(served, signal.SIGTERM)  # strace heeds none, and ends with the code of what it traces
            serving.process.wait(timeout=60)
        text = trace_text()
        judge("thinkrec_serve", text, MEANT["thinkrec_serve"])
        bound = [line for line in text.splitlines() if re.search(r"\bbind\(.*AF_INET", line)]
        assert len(bound) == 1 and 'inet_addr("127.0.0.1")' in bound[0], bound

    before = os.umask(0o022)
    try:
        use_everything(folder, server.endpoint, command)
    finally:
        os.umask(before)
    found = [f"{place}: {line}" for place in PLACES for line in modes(os.path.join(folder, place), 0o022)]
    assert not found, found
    print("what may be read by others, by the umask, can be read by them", flush=True)
    if not can:
        print("skipped: strace is not there, or tracing is forbidden")
        sys.exit(77)
    serve()
    # The self-test of MPI starts Open MPI's daemon, as what calls MPI_Init without mpirun does; both wait at any address while it lasts.
    self_test = trace(os.path.join(world.programs, "thinkrec_inspect"), "--environment")
    names = {os.path.basename(path) for path in started(self_test)}
    assert "thinkrec_inspect" in names and names <= {"thinkrec_inspect", "orted"} and not foreign(self_test, waits=True), self_test
    # Each program that was built is in the table, and each of the table was traced.
    with os.scandir(world.programs) as entries:
        built = {entry.name for entry in entries if entry.name.startswith("thinkrec_") and entry.is_file() and os.access(entry.path, os.X_OK)}
    assert built - NOT_ALONE == set(MEANT) == seen, f"built: {sorted(built)}, in the table: {sorted(MEANT)}, traced: {sorted(seen)}"
    # What must be found is found: a shell, another program, another machine.
    sends = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"0.0.0.0\", 0)); s.connect((\"192.0.2.7\", 9))"
    shell = trace("sh", "-c", f"ls / >/dev/null; python3 -c '{sends}'")
    names = [os.path.basename(path) for path in started(shell)]
    assert "sh" in names and "ls" in names and all(address in "".join(foreign(shell)) for address in ("192.0.2.7", "0.0.0.0")), shell
    print("no connection but to this machine, no program started but the guard, the training and MPI's daemon in its self-test", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), folder)
        recipe, home = world.recipe(steps=4, expert_steps=2), os.path.join(folder, "home-of-ottilie")
        with open(recipe) as opened:
            text = opened.read().replace(folder + "/data.h5", "made/data.h5").replace(folder + "/", "")
        with open(recipe, "w") as out:
            out.write(text)
        os.makedirs(home)
        environment = {**os.environ, **SECRETS, "HOME": home, "no_proxy": "*"}
        with ChatServer(lambda request, number: "Yes. It is much like what the user liked before.") as server:
            discretion(world, folder, environment, server)
            traced(world, folder, environment, server)
    print("discretion: passed")


if __name__ == "__main__":
    main()
