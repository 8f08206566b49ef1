#!/usr/bin/env python3
"""What programs leave behind and whom they talk to: no user, home or secret in a run directory or a log, files as the umask says; under strace
no connection but to this machine, and no program started but those that are meant to be.   discretion_test.py PROGRAMS SOURCE
Without strace, or where tracing is forbidden, the second part is not run: exit code 77."""
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

from tiny_world import World

SECRETS = {"USER": "ottilie-of-the-test", "LOGNAME": "ottilie-of-the-test", "OPENAI_API_KEY": "sk-not-a-real-key-9431",
           "THINKREC_SERVE_TOKEN": "not-a-real-token-2750", "HF_TOKEN": "hf_not-a-real-token-6114"}


def use_everything(folder, command):
    """Train, evaluate, export, recommend, with relative paths; `command(program, *arguments, ranks)` runs one and returns what it said."""
    said = command("thinkrec_train", "--config", "recipe.yaml", "--run-dir", "run", ranks=2)
    said += command("thinkrec_eval", "--run-dir", "run", ranks=0)
    said += command("thinkrec_export", "--run-dir", "run", "--output", "exported", ranks=0)
    said += command("thinkrec_recommend", "--run-dir", "run", "--user", "u1", ranks=0)
    return said


def leaks(folder, words):
    """Files below `folder` that hold one of `words`, or that others may read."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            with open(full, "rb") as opened:
                content = opened.read()
            found += [f"{os.path.relpath(full, folder)} holds {word}" for word in words if word.encode() in content]
            if stat.S_IMODE(os.stat(full).st_mode) & 0o077:
                found.append(f"{os.path.relpath(full, folder)} may be read by others")
    return found


def discretion(world, folder):
    home = os.path.join(folder, "home-of-ottilie")
    os.makedirs(home)
    environment = {**os.environ, **SECRETS, "HOME": home}

    def command(program, *arguments, ranks):
        return world.run(program, *arguments, ranks=ranks, cwd=folder, env=environment).stderr

    before = os.umask(0o077)
    try:
        said = use_everything(folder, command)
    finally:
        os.umask(before)
    words = [*SECRETS.values(), home, folder, world.source]
    for place in ("run", "exported"):
        found = leaks(os.path.join(folder, place), words)
        assert not found, f"{place}: {found}"
    assert not [word for word in SECRETS.values() if word in said], said
    # The search itself finds what it looks for.
    with open(os.path.join(folder, "run", "planted"), "w") as out:
        out.write("key " + SECRETS["HF_TOKEN"])
    os.chmod(os.path.join(folder, "run", "planted"), 0o644)
    assert sorted(leaks(os.path.join(folder, "run"), words)) == ["planted holds " + SECRETS["HF_TOKEN"], "planted may be read by others"]
    os.remove(os.path.join(folder, "run", "planted"))
    print("no user, home, folder or secret in what a run leaves", flush=True)


def foreign(trace, ours):
    """Lines of a trace that start another program than `ours`, or connect or send to another machine."""
    bad = []
    for line in trace.splitlines():
        started = re.search(r'execve(?:at)?\((?:\w+, )?"([^"]*)"', line)
        if started and " = -1 " not in line and os.path.basename(started.group(1)) not in ours:
            bad.append(line)
        if re.search(r"\b(connect|sendto|sendmsg|bind)\(", line) and re.search(r"AF_INET", line):
            address = re.search(r'inet_addr\("([^"]*)"\)|inet_pton\(AF_INET6, "([^"]*)"', line)
            if not address or (address.group(1) or address.group(2)) not in ("127.0.0.1", "0.0.0.0", "::1", "::"):
                bad.append(line)
    return bad


def traced(world, folder):
    if shutil.which("strace") is None or subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode != 0:
        print("skipped: strace is not there, or tracing is forbidden")
        sys.exit(77)
    log = os.path.join(folder, "trace.txt")

    def trace(*command):
        done = subprocess.run(["strace", "-f", "-qq", "-e", "trace=execve,execveat,connect,sendto,sendmsg,bind", "-o", log, *command], capture_output=True,
                              text=True, errors="replace", timeout=300, cwd=folder, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        with open(log, errors="replace") as lines:
            return lines.read()

    # One process, without mpirun: what the programs themselves do.
    shutil.rmtree(os.path.join(folder, "run"))
    shutil.rmtree(os.path.join(folder, "exported"))
    said = ""

    def command(program, *arguments, ranks):
        nonlocal said
        said += trace(os.path.join(world.programs, program), *arguments)
        return ""

    use_everything(folder, command)
    ours = {"thinkrec_train", "thinkrec_train_stages", "thinkrec_eval", "thinkrec_export", "thinkrec_recommend", "thinkrec_check"}
    bad = [line for line in foreign(said, ours | {"orted"})]
    assert not bad, "\n".join(bad[:20])
    assert said.count("thinkrec_check") >= 1, "the guard was not seen: is the trace whole?"
    # What must be found is found: a shell, another program, another machine.
    shell = trace("sh", "-c", "ls / >/dev/null; python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((\"192.0.2.7\", 9))'")
    kinds = "\n".join(foreign(shell, ours))
    assert "/sh\"" in kinds and "ls\"" in kinds and "192.0.2.7" in kinds, shell
    print("no connection but to this machine, no program started but the guard", flush=True)


if __name__ == "__main__":
    programs, source = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        world = World(os.path.abspath(programs), os.path.abspath(source), folder)
        recipe = world.recipe(steps=4, expert_steps=2)
        with open(recipe) as opened:
            text = opened.read().replace(folder + "/", "")
        with open(recipe, "w") as out:
            out.write(text)
        discretion(world, folder)
        traced(world, folder)
    print("discretion: passed")
