#!/usr/bin/env python3
"""thinkrec_synthesize with an endpoint that behaves badly in every way it can: wrong answers, empty and malformed ones, 429 with Retry-After,
500, resets, slow drips, truncated UTF-8, bodies without end; kill -9 and resume; where the key goes.   synthesize_test.py PROGRAMS SOURCE"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from chat_server import ChatServer, completion, cut_off, drip, is_liked, raw, reset, send_json, status
from tiny_world import World

KEY = "sk-not-a-real-key-5127"


def right(request, number=1):
    """A right verdict as soon as the answer is known, Yes before; a sentence that names the item."""
    title = re.search(r'"(Film \d+)"[^"]*\?', request["messages"][-1]["content"])
    return f"{'Yes' if is_liked(request) else 'No'}. The tastes shown before settle it for {title.group(1) if title else 'this one'}."


class Case:
    def __init__(self, world, folder):
        self.world, self.folder, self.number = world, folder, 0
        self.environment = {**os.environ, "no_proxy": "*", "OPENAI_API_KEY": KEY}

    def data(self):
        """A fresh copy of the data set, without reasons."""
        self.number += 1
        path = f"{self.folder}/case{self.number}.h5"
        with open(f"{self.folder}/data.h5", "rb") as source, open(path, "wb") as copy:
            copy.write(source.read())
        return path

    def arguments(self, what, data, server, *more):
        usual = [] if "--concurrency" in more else ["--concurrency", "4"]
        return [what, "--data", data, "--backend", "openai", "--endpoint", server.endpoint, "--model", "m", "--retry-wait", "0.02", *usual, *more]

    def run(self, what, data, server, *more, code=0):
        return self.world.run("thinkrec_synthesize", *self.arguments(what, data, server, *more), code=code, env=self.environment)

    def lines(self, flag, data):
        return [json.loads(line) for line in self.world.run("thinkrec_inspect", flag, data).stdout.splitlines()]

    def reasons(self, data):
        return self.lines("--reasons", data)

    def failures(self, data):
        path = data + ".failed.jsonl"
        return [json.loads(line) for line in open(path)] if os.path.exists(path) else []


def wrong_answers(case):
    with ChatServer(right) as server:
        data = case.data()
        done = case.run("reasons", data, server, "--rows", "20", "--seed", "4")
        reasons = case.reasons(data)
    assert len(reasons) == 20 and not os.path.exists(data + ".journal")
    assert len({r["row"] for r in reasons}) == 20
    later = [r for r in reasons if json.loads(r["provenance"])["turns"] == 2]
    assert 0 < len(later) < 20, "both kinds of verdicts were to come"
    for r in reasons:
        assert r["text"].startswith("Yes. The tastes" if r["label"] else "No. The tastes"), r
        assert (r in later) == (r["label"] == 0), r
        assert r["title"] in r["text"], r
        assert json.loads(r["provenance"])["model"] == "m"
    first, second = ([q["messages"] for q in server.requests if len(q["messages"]) == n] for n in (2, 4))
    assert len(second) == len(later) and len(first) == 20
    assert [m["role"] for m in second[0]] == ["system", "user", "assistant", "user"]
    assert "The correct response is No." in second[0][3]["content"]
    assert "20 reasons (0 before; " in done.stdout, done.stdout
    # Nothing is left to do.
    with ChatServer(right) as server:
        case.run("reasons", data, server, "--rows", "20", "--seed", "4")
        assert not server.requests


def bad_behaviour(case):
    """Each conversation meets one kind of trouble at its first try; most of them end well."""
    troubles = [status(429, headers=[("Retry-After", "1")]), status(500), status(503), reset, cut_off, raw(b"not JSON"), raw(b"[]"), raw(b"{}"),
                raw(b'{"choices": [{"message": {"content": 7}}]}'), drip, raw(b'{"choices": [' + b"[" * 100000)]
    told = []

    def script(request, number):
        if len(request["messages"]) > 2 or number > 1:
            return right(request)
        with server.lock:
            told.append(request)
            place = len(told) - 1
        if place < len(troubles):
            return troubles[place]
        if place == len(troubles):
            return raw(b'{"choices": [{"message": {"content": "No. Caf\xc3"}}, {}]}')
        if place == len(troubles) + 1:
            return lambda handler: send_json(handler, completion(None))
        if place == len(troubles) + 2:
            return raw(b'{"choices": "' + b"x" * (5 << 20) + b'"}')
        if place == len(troubles) + 3:
            return status(400, "the prompt\nis too long")
        return right(request)

    with ChatServer(script) as server:
        data = case.data()
        done = case.run("reasons", data, server, "--rows", "30", "--timeout", "1.5", "--threshold", "1", code=64)
        assert "--threshold is of the scores" in done.stderr
        done = case.run("reasons", data, server, "--rows", "30", "--timeout", "1.5")
        reasons, failures = case.reasons(data), case.failures(data)
    assert len(reasons) == 30, done.stderr
    assert sorted(f["why"].split(":")[0] for f in failures) == ["HTTP 400", "the answer is longer than 4194304 bytes"], failures
    assert all(f["what"] == "reason" and f["who"].startswith("user u") for f in failures), failures
    assert "2 questions got no answer" in done.stderr, done.stderr
    assert not os.path.exists(data + ".journal")
    # After those two were refused for good, they are asked again by the next run.
    with ChatServer(right) as server:
        case.run("reasons", data, server, "--rows", "32")
        assert len(case.reasons(data)) == 32 and not case.failures(data)


def waiting_as_told(case):
    """A Retry-After holds all requests back, not only the one that was refused."""
    refused = []

    def script(request, number):
        with server.lock:
            if not refused:
                refused.append(time.monotonic())
                return status(429, headers=[("Retry-After", "2")])
        return right(request)

    with ChatServer(script) as server:
        case.run("reasons", case.data(), server, "--rows", "10", "--concurrency", "1")
        after = [t - refused[0] for t in server.started if t > refused[0] + 0.001]
    assert after and min(after) >= 1.9, min(after)


def giving_up(case):
    """A server that is down: the program says so and ends; what was answered before is in the journal, and is not asked again."""
    data, whole = case.data(), case.data()
    with ChatServer(right) as server:
        case.run("reasons", whole, server, "--rows", "40")
        first, again = ([r["messages"][1]["content"] for r in server.requests if len(r["messages"]) == n] for n in (2, 4))
    assert len(set(first)) == len(first) == 40, first
    # Of the first round's 16 questions five are answered: three replies are right at once, two are to be reflected on.
    at_once, later = ([q for q in first[:16] if (q in again) == wrong] for wrong in (False, True))
    answered = at_once[:3] + later[:2]
    assert len(answered) == 5, (len(at_once), len(later))

    def script(request, number):
        return right(request) if len(request["messages"]) == 2 and request["messages"][1]["content"] in answered else status(502)

    with ChatServer(script) as server:
        done = case.run("reasons", data, server, "--rows", "200", "--retries", "1", code=74)
    assert "none of 16 questions was answered (HTTP 502" in done.stderr, done.stderr
    assert "trying again" in done.stderr
    kept, complete = case.reasons(data), case.reasons(whole)
    assert len(kept) == 3 and all(r in complete for r in kept), kept
    with open(data + ".journal") as lines:
        replies = sorted(json.loads(line)["text"] for line in lines)
    assert replies == sorted(right({"messages": [{"content": q}]}) for q in answered), replies
    assert len(case.failures(data)) == 11 + 16, case.failures(data)
    with ChatServer(right) as server:
        done = case.run("reasons", data, server, "--rows", "40")
        asked, reflected = ([r["messages"][1]["content"] for r in server.requests if len(r["messages"]) == n] for n in (2, 4))
    assert not set(asked) & set(answered), "what was answered was asked again"
    assert sorted(asked) == sorted(set(first) - set(answered)), (len(asked), len(set(asked)))
    assert sorted(reflected) == sorted(again) and "2 replies were there from a run that was broken off" in done.stderr, done.stderr
    assert sorted(map(json.dumps, case.reasons(data))) == sorted(map(json.dumps, complete)) and not case.failures(data)
    assert not os.path.exists(data + ".journal")


def refused_for_good(case):
    with ChatServer(right) as other:
        for code, words in ((401, ["401", "OPENAI_API_KEY"]), (403, ["403"]), (404, ["--model"]), (301, ["redirect", "not followed"])):
            answer = status(code, f"your key {KEY} is wrong", [("Location", other.endpoint + "/chat/completions")])
            with ChatServer(lambda request, number, answer=answer: answer) as server:
                done = case.run("reasons", case.data(), server, "--rows", "5", code=78)
                for word in words:
                    assert word in done.stderr, done.stderr
                assert KEY not in done.stdout + done.stderr
                assert len(server.requests) <= 5
        assert not other.requests, "a redirect was followed"
    data = case.data()
    for endpoint, words in (("ftp://127.0.0.1/v1", "no http"), ("http://a:b@127.0.0.1/v1", "user name or password"), ("http:///v1", "no http")):
        arguments = ["reasons", "--data", data, "--backend", "openai", "--model", "m", "--endpoint", endpoint]
        assert words in case.world.run("thinkrec_synthesize", *arguments, code=64).stderr
    for arguments, words in ((["reasons", "--again"], "--again does not apply to reasons"), (["keywords", "--rows", "3"], "--rows does not apply"),
                             (["reasons", "--endpoint", "http://x/v1"], "--endpoint does not apply to --backend local"),
                             (["reasons", "--backend", "openai", "--batch", "3"], "--batch does not apply"), ([], "say what"),
                             (["verse"], "say what"), (["reasons", "--backend", "openai"], "--endpoint is needed")):
        assert words in case.world.run("thinkrec_synthesize", *arguments, "--data", data, code=64).stderr, arguments
    done = case.world.run("thinkrec_synthesize", "reasons", "--data", data, "--backend", "openai", "--model", "m", "--endpoint", "http://127.0.0.1:9/v1",
                          code=64, env={**case.environment, "OPENAI_API_KEY": "two words"})
    assert "holds a space" in done.stderr and "two words" not in done.stderr, done.stderr


def encrypted(case):
    """A server whose certificate nobody vouches for is sent nothing."""
    certificate = f"{case.folder}/server.pem"
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", f"{certificate}.crt"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    with open(certificate, "a") as both, open(f"{certificate}.crt") as public:
        both.write(public.read())
    with ChatServer(right, certificate) as server:
        done = case.run("reasons", case.data(), server, "--rows", "4", code=78)
        assert "certificate" in done.stderr.lower(), done.stderr
        assert not server.requests, "something was sent to a server that nobody vouches for"


def where_the_key_goes(case):
    def script(request, number):
        if number == 1 and len(request["messages"]) == 2:
            return status(500, f"do not show {KEY} to anybody")
        if len(request["messages"]) == 2:
            return f"Yes. Your key is {KEY}, is it not."
        return right(request)

    before = set(os.listdir(case.folder))
    with ChatServer(script) as server:
        data = case.data()
        done = case.run("reasons", data, server, "--rows", "6")
        assert set(server.keys) == {f"Bearer {KEY}"}
    assert any("Your key is ***" in r["text"] for r in case.reasons(data)), case.reasons(data)
    assert KEY not in done.stdout + done.stderr and "***" in done.stderr
    made = set(os.listdir(case.folder)) - before
    assert made == {os.path.basename(data)}, made
    assert KEY.encode() not in open(data, "rb").read()
    # None is sent where none is set; another variable may hold it.
    environment, case.environment = case.environment, {**case.environment, "ANOTHER": "another-key"}
    del case.environment["OPENAI_API_KEY"]
    for more, sent in (([], None), (["--key-variable", "ANOTHER"], "Bearer another-key")):
        with ChatServer(right) as server:
            case.run("reasons", case.data(), server, "--rows", "2", *more)
            assert set(server.keys) == {sent}, server.keys
    case.environment = environment


def killed_and_resumed(case):
    """kill -9 in the middle, twice: what is in the journal is not asked again, and the data set becomes what an unbroken run makes of it."""
    def slow(request, number):
        time.sleep(0.03)
        return right(request)

    data, whole = case.data(), case.data()
    with ChatServer(right) as server:
        case.run("reasons", whole, server, "--rows", "60")
        unbroken = [json.dumps([r["messages"], r["max_tokens"]]) for r in server.requests]
    with ChatServer(slow) as server:
        known = set()
        for kill_at in (15, 50):
            process = subprocess.Popen(case.world.command("thinkrec_synthesize", *case.arguments("reasons", data, server, "--rows", "60")),
                                       env=case.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while len(server.answered) < kill_at and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            keys = {json.loads(line)["key"] for line in open(data + ".journal") if line.endswith("\n")}
            # Four may be on their way at each kill, answered but not received.
            assert len(keys) >= kill_at - 9 and known <= keys, (len(keys), kill_at)
            known = keys
        case.run("reasons", data, server, "--rows", "60")
        assert 2 <= server.most <= 4, server.most
        # At most the four that were in flight at a kill were asked about twice.
        assert len(server.requests) - len(set(unbroken)) <= 8, (len(server.requests), len(unbroken))
        asked = [json.dumps([r["messages"], r["max_tokens"]]) for r in server.requests]
        assert set(asked) == set(unbroken) and max(map(asked.count, asked)) <= 3
        twice = [c for c in set(asked) if asked.count(c) > 1]
        assert len(twice) <= 8, twice
    assert open(data, "rb").read() == open(whole, "rb").read()
    assert not os.path.exists(data + ".journal")


def one_at_a_time(case):
    data = case.data()
    refused = threading.Event()
    with ChatServer(lambda request, number: refused.wait(60) and right(request)) as server:
        first = subprocess.Popen(case.world.command("thinkrec_synthesize", *case.arguments("reasons", data, server, "--rows", "4")),
                                 env=case.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not server.requests:
            time.sleep(0.01)
        done = case.run("reasons", data, server, "--rows", "4", code=74)
        assert "another thinkrec_synthesize is at work" in done.stderr, done.stderr
        refused.set()
        assert first.wait(timeout=60) == 0
    assert len(case.reasons(data)) == 4


def thinking(case):
    """Of items with an odd number the thinking comes in a field of its own, of the others within the reply."""
    def number_of(text):
        return int(re.search(r"Film (\d+)", text).group(1))

    def script(request, number):
        verdict = "Yes" if is_liked(request) else "No"
        if number_of(re.search(r'"Film \d+"[^"]*\?', request["messages"][-1]["content"]).group()) % 2:
            return lambda handler: send_json(handler, completion(verdict, thinking="Okay, let's see.\nThey like such films."))
        return f"<think>Hmm, they like such films.</think>\n{verdict}"

    with ChatServer(script) as server:
        data = case.data()
        case.run("reasons", data, server, "--rows", "8", "--store", "thinking", "--min-words", "3", "--max-words", "20")
    reasons, texts = case.reasons(data), ("Hmm, they like such films.", "Okay, let's see. They like such films.")
    assert len(reasons) == 8 and {number_of(r["title"]) % 2 for r in reasons} == {0, 1}, reasons
    for r in reasons:
        assert r["text"] == f"{'Yes' if r['label'] else 'No'}. {texts[number_of(r['title']) % 2]}", r
        assert json.loads(r["provenance"])["thinking"] is True, r


def wrong_rows(case):
    data = case.data()
    with ChatServer(right) as server:
        case.run("reasons", data, server, "--rows", "40")
    labels = [(r["row"], r["user"], r["item"], r["label"]) for r in case.reasons(data)]
    scores = f"{case.folder}/scores.csv"
    with open(scores, "w") as out:
        out.write("row,user,item,label,global\n")
        for place, (row, user, item, label) in enumerate(labels):
            out.write(f"{row},{user},{item},{label},{-1.5 if (label == 1) == (place % 4 == 0) else 1.5}\n")
    expected = {row for place, (row, _, _, _) in enumerate(labels) if place % 4 == 0}
    data = case.data()
    with ChatServer(right) as server:
        case.run("reasons", data, server, "--rows", "40", "--wrong", scores)
    assert {r["row"] for r in case.reasons(data)} == expected


def references(case):
    """Reasons of test rows go to a file of their own, which a second call extends; the data set stays as it is."""
    data, refs = case.data(), f"{case.folder}/refs.jsonl"
    before = open(data, "rb").read()
    with ChatServer(right) as server:
        for rows in ("5", "8"):
            case.run("references", data, server, "--rows", rows, "--history", "4", "--output", refs)
    assert open(data, "rb").read() == before and not os.path.exists(refs + ".journal")
    lines = [json.loads(line) for line in open(refs)]
    assert len({line["row"] for line in lines}) == 8 and all(line["reference"].split(".")[0] in ("Yes", "No") for line in lines)
    assert all(json.loads(line["source"])["model"] == "m" for line in lines)
    for arguments, words in ((["references"], "--output is needed"), (["reasons", "--output", refs], "--output does not apply to reasons"),
                             (["references", "--wrong", refs], "--wrong does not apply to references")):
        assert words in case.world.run("thinkrec_synthesize", *arguments, "--data", data, code=64).stderr, arguments


def data_of_items(case, name, header, line):
    """A data set of the usual interactions, with a line of items.csv for each item."""
    raw_folder, data = f"{case.folder}/{name}", f"{case.folder}/{name}.h5"
    os.makedirs(raw_folder)
    shutil.copyfile(f"{case.folder}/raw/interactions.csv", f"{raw_folder}/interactions.csv")
    with open(f"{raw_folder}/items.csv", "w") as out:
        out.write("\n".join([header, *map(line, range(30)), ""]))
    case.world.run("thinkrec_prepare", "--format", "ratings", "--input", raw_folder, "--output", data)
    return data


def keywords(case):
    """Only items without keywords are asked about; one that fails is asked about by the next run, and no other."""
    data = data_of_items(case, "plain", "item,title,keywords,category,description",
                         lambda i: f'i{i},"Film {i}",{"drama" if i < 10 else ""},,"About number {i}, at length."')
    up = []

    def script(request, number):
        text = request["messages"][-1]["content"]
        assert "Your task is to extract up to ten keywords from the given profile of the item above." in text, text
        assert "Description: About number" in text, text
        if "Film 17." in text and not up:
            return status(400)
        if "Film 18." in text and not up:
            return "1, 2, 3."
        return "Keywords: " + ", ".join(f"{w} Word" for w in ("A", "The Second", "Zeta", "Alpha", "Zeta")) + ", 1999, of"

    with ChatServer(script) as server:
        done = case.run("keywords", data, server)
        assert len(server.requests) == 20
        assert "28 of 30 items have keywords (10 before; 18 made, 1 failed, 1 unanswered)" in done.stdout, done.stdout
        items = {i["item"]: i for i in case.lines("--items", data)}
        assert items["i3"]["keywords"] == "drama" and items["i17"]["keywords"] == items["i18"]["keywords"] == ""
        assert items["i20"]["keywords"] == "word, zeta word, alpha word", items["i20"]
        assert items["i20"]["profile"] == "Description: About number 20, at length."
        assert sorted(f["who"] for f in case.failures(data)) == ["item i17", "item i18"]
        up.append(True)
        before = len(server.requests)
        case.run("keywords", data, server)
        assert len(server.requests) == before + 2 and not case.failures(data)
        case.run("keywords", data, server, "--again", "--items", "4")
        assert len(server.requests) == before + 6
    assert {i["item"]: i for i in case.lines("--items", data)}["i3"]["keywords"] == "word, zeta word, alpha word"


def keywords_again_broken_off(case):
    """Items without a profile are asked about by the keywords they have: those that replace them are saved when all are there."""
    data = data_of_items(case, "known", "item,title,keywords", lambda i: f'i{i},"Film {i}",drama')
    before, answered = open(data, "rb").read(), []

    def script(request, number):
        assert "Category: drama" in request["messages"][-1]["content"], request
        if len(answered) == 12:
            return status(401)
        answered.append(number)
        return "Keywords: Slow Cinema, Long Takes"

    with ChatServer(script) as server:
        case.run("keywords", data, server, "--again", code=78)
        assert open(data, "rb").read() == before, "some keywords were saved"
    with ChatServer(lambda request, number: "Keywords: Slow Cinema, Long Takes") as server:
        done = case.run("keywords", data, server, "--again")
        assert len(server.requests) == 30 - len(answered), (len(server.requests), answered)
        assert "30 of 30 items have keywords" in done.stdout and "30 made" in done.stdout, done.stdout
    assert {i["keywords"] for i in case.lines("--items", data)} == {"slow cinema, long takes"}


def special_texts(case):
    """Replies that look like special tokens, slots, markup or commands are plain text; no file is named by one, nothing is run."""
    source = open(f"{case.world.source}/tests/data/special_texts.h", encoding="utf-8").read()
    listed = re.findall(r'^    "((?:[^"\\]|\\.)*)",$', source, re.MULTILINE)
    texts = [text.replace('\\"', '"').replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\") for text in listed]
    assert len(texts) == 100, len(texts)
    given = {}

    def script(request, number):
        title = re.search(r'"(Film \d+)"[^"]*\?', request["messages"][-1]["content"]).group(1)
        with server.lock:
            text = given.setdefault(json.dumps(request["messages"][1]), texts[len(given) % 100])
        return f"{'Yes' if is_liked(request) else 'No'}. {title} is {text} it is said of it."

    before = set(os.listdir(case.folder)) | set(os.listdir("."))
    with ChatServer(script) as server:
        data = case.data()
        case.run("reasons", data, server, "--rows", "110")
    stored = " ".join(r["text"] for r in case.reasons(data))
    for text in texts[:60]:
        assert " ".join(text.split()) in stored, text
    assert (set(os.listdir(case.folder)) | set(os.listdir("."))) - before == {os.path.basename(data)}
    assert len(case.reasons(data)) == 110


def main():
    with tempfile.TemporaryDirectory() as folder:
        case = Case(World(sys.argv[1], sys.argv[2], folder), folder)
        for part in (wrong_answers, bad_behaviour, waiting_as_told, giving_up, refused_for_good, encrypted, where_the_key_goes, killed_and_resumed,
                     one_at_a_time, thinking, wrong_rows, references, keywords, keywords_again_broken_off, special_texts):
            began = time.monotonic()
            part(case)
            print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
