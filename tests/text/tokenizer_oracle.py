#!/usr/bin/env python3
"""Tokenizers against PyPI `tokenizers`, live: SmolLM2's from its GGUF, and a byte-level BPE trained here with Llama 3's expression, with
and without ignore_merges. 20,000 strings of many scripts each, every code point in three contexts, and the round trip.

  tokenizer_oracle.py INSPECT GGUF        INSPECT: the program thinkrec_inspect; exit code 77 when `tokenizers` is not installed
"""
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import gguf
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
except ImportError as error:
    print(f"skipped: {error}; launch/setup.sh --oracles installs what is missing")
    sys.exit(77)

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLOCKS = [(0x20, 0x7E), (0xA0, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F),
          (0x1100, 0x11FF), (0x2000, 0x206F), (0x2150, 0x218B), (0x2460, 0x24FF), (0x3040, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xADFF),
          (0xFF00, 0xFFEF), (0x10330, 0x1034F), (0x1D400, 0x1D4FF), (0x1F300, 0x1F64F), (0x0, 0x1F), (0x300, 0x36F)]
WORDS = ["it's", "WE'LL", "don't", "I'M", "they've", "'d", "'S", "Héllo", "naïve", "movie", "(1995)", "1234567", "3.14", "\r\n", "\n\n", "  ", "\t",
         "   x", "...", "!?", "<|im_end|>", "<unk>", "<UserID>", "ſ", "'ſ", "Ⅷ", "²³", "\u00a0", "\u3000", "\u200b", "🙂", "\ufeff"]


def strings(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        text = ""
        for _ in range(rng.randint(0, 12)):
            if rng.random() < 0.5:
                text += rng.choice(WORDS) + rng.choice(["", " ", "  ", "\n"])
            else:
                low, high = rng.choice(BLOCKS)
                text += "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))
        yield text


def code_points():
    """All of them, packed many to a string with each in three contexts: after a letter, after a space, before a digit."""
    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for first in range(0, len(points), 200):
        yield "".join(f"a{chr(c)} {chr(c)}7" for c in points[first:first + 200])


def ours(program, path, texts):
    done = subprocess.run([program, "--tokenizer", path, "--encode"], input="".join(json.dumps(t) + "\n" for t in texts), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def compare(name, program, path, reference, texts):
    texts = list(texts)
    got = ours(program, path, texts)
    assert len(got) == len(texts), (len(got), len(texts))
    bad = [(t, g, reference.encode(t, add_special_tokens=False).ids) for t, g in zip(texts, got)
           if g != reference.encode(t, add_special_tokens=False).ids]
    assert not bad, f"{name}: {len(bad)} of {len(texts)} differ, first {bad[0]!r}"
    if all(letter in reference.get_vocab() for letter in pre_tokenizers.ByteLevel.alphabet()):  # SmolLM2's lacks some control bytes
        lost = [t for t, g in zip(texts, got) if reference.decode(g, skip_special_tokens=False) != t]
        assert not lost, f"{name}: {len(lost)} strings do not survive the round trip, first {lost[0]!r}"
    print(f"{name}: {len(texts)} strings equal")


def smollm2(path):
    fields = gguf.GGUFReader(path).fields
    tokens = [bytes(fields["tokenizer.ggml.tokens"].parts[i]).decode() for i in fields["tokenizer.ggml.tokens"].data]
    merges = [tuple(bytes(fields["tokenizer.ggml.merges"].parts[i]).decode().split(" ")) for i in fields["tokenizer.ggml.merges"].data]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def self_trained(folder, ignore_merges):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(strings(5000, 1), trainer)
    path = os.path.join(folder, f"{ignore_merges}.json")
    data = json.loads(tokenizer.to_str())
    size = len(data["model"]["vocab"])
    data["added_tokens"] = [{"id": size, "content": "<|im_end|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}]
    with open(path, "w") as out:
        json.dump(data, out)
    return path, tokenizer  # the reference without the added token: text is never taken for it


def main():
    program, path = sys.argv[1:3]
    if os.path.exists(path):
        reference = smollm2(path)
        compare("SmolLM2", program, path, reference, strings(20000, 2))
        compare("SmolLM2, every code point", program, path, reference, code_points())
    with tempfile.TemporaryDirectory() as folder:
        for ignore_merges in (False, True):
            file, reference = self_trained(folder, ignore_merges)
            compare(f"Llama 3 rule, ignore_merges {ignore_merges}", program, file, reference, strings(20000, 3))
            compare(f"Llama 3 rule, ignore_merges {ignore_merges}, every code point", program, file, reference, code_points())
    print("tokenizers: passed")


if __name__ == "__main__":
    main()
