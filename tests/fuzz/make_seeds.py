#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets: small whole files, a folder each in seeds/.

  make_seeds.py          writes tests/fuzz/seeds
"""
import gzip
import json
import os
import struct

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")
CUT = b"\x1e"


def put(target, name, data):
    folder = os.path.join(FOLDER, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def text_value(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text)) + text


def gguf(keys, tensors, data=b""):
    """keys: name -> (type, bytes); tensors: (name, extents, type, offset)."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    for name, (kind, value) in keys.items():
        out += text_value(name) + struct.pack("<I", kind) + value
    for name, extents, kind, offset in tensors:
        out += text_value(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, kind, offset)
    return out + b"\0" * (-len(out) % 32) + data


def byte_alphabet():
    """Byte-level BPE's stand-ins for the 256 bytes: printable ones as they are, the others from U+0100 on."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]


def make_safetensors():
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    put("safetensors", "one", safetensors({"a": one}, b"\0" * 8))
    put("safetensors", "several", safetensors({
        "__metadata__": {"format": "pt"}, "b": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [8, 12]}, "a": one,
        "c": {"dtype": "F16", "shape": [], "data_offsets": [12, 14]}, "e": {"dtype": "I64", "shape": [0], "data_offsets": [14, 14]}},
        bytes(range(14))))
    put("safetensors", "empty", safetensors(b"{}      "))
    put("safetensors_index", "index", json.dumps({"metadata": {"total_size": 8}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    put("safetensors_index", "path", json.dumps({"weight_map": {"a": "../x"}}))


def make_gguf():
    u32, f32, flag, text, array = 4, 6, 7, 8, 9
    put("gguf", "tensors", gguf({"general.alignment": (u32, struct.pack("<I", 32)), "flag": (flag, b"\1")},
                                [("a", [4], 0, 0), ("b", [32, 2], 8, 32)], b"\0" * 100))
    def number(value):
        return (u32, struct.pack("<I", value))
    pieces = ["<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581"]
    bpe = byte_alphabet() + ["ab", "<|end|>"]
    shape = {"general.architecture": (text, text_value("llama")), "llama.embedding_length": number(4), "llama.block_count": number(1),
             "llama.attention.head_count": number(2), "llama.attention.head_count_kv": number(1), "llama.feed_forward_length": number(8),
             "llama.context_length": number(16), "llama.attention.layer_norm_rms_epsilon": (f32, struct.pack("<f", 1e-5))}
    def strings(values):
        return (array, struct.pack("<IQ", text, len(values)) + b"".join(map(text_value, values)))
    def ints(values):
        return (array, struct.pack(f"<IQ{len(values)}i", 5, len(values), *values))
    embedding = [("token_embd.weight", [4, len(pieces)], 0, 0)]
    put("gguf", "llama", gguf({**shape, "tokenizer.ggml.model": (text, text_value("llama")), "tokenizer.ggml.tokens": strings(pieces),
                               "tokenizer.ggml.scores": (array, struct.pack(f"<IQ{len(pieces)}f", f32, len(pieces), *range(len(pieces)))),
                               "tokenizer.ggml.token_type": ints([2, 3, 3, 1, 1, 1, 1]), "tokenizer.ggml.bos_token_id": number(1),
                               "tokenizer.ggml.eos_token_id": number(2)}, embedding, b"\0" * 16 * len(pieces)))
    def byte_bpe(name, pre, types=None, eos=len(bpe) - 1, **more):
        put("gguf", name, gguf({"tokenizer.ggml.model": (text, text_value("gpt2")), "tokenizer.ggml.pre": (text, text_value(pre)),
                                "tokenizer.ggml.tokens": strings(bpe), "tokenizer.ggml.merges": strings(["a b"]),
                                "tokenizer.ggml.token_type": ints(types or [1] * (len(bpe) - 1) + [3]), "tokenizer.ggml.eos_token_id": number(eos),
                                **{f"tokenizer.ggml.{key}": value for key, value in more.items()}}, []))
    byte_bpe("bpe", "smollm")
    for pre in ("gpt-2", "llama-bpe", "qwen2", "other"):
        byte_bpe(f"bpe_{pre}", pre)
    byte_bpe("bpe_types", "smollm", types=[1])
    byte_bpe("bpe_added", "smollm", types=[1] * (len(bpe) - 2) + [2, 4])
    byte_bpe("bpe_eos", "smollm", eos=len(bpe))
    byte_bpe("bpe_bos", "smollm", bos_token_id=number(1), add_bos_token=(flag, b"\1"))
    byte_bpe("bpe_no_bos", "smollm", add_bos_token=(flag, b"\1"))


def make_tokenizer():
    tokens = [*byte_alphabet(), "ab", "abc", "\u0120a"]
    whole = {"version": "1.0", "added_tokens": [{"id": len(tokens), "content": "<|eot_id|>", "special": True}, {"id": 3, "content": "$"}],
             "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
             "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|eot_id|>", "type_id": 0}}]},
             "model": {"type": "BPE", "ignore_merges": True, "vocab": {token: i for i, token in enumerate(tokens)},
                       "merges": ["a b", ["ab", "c"], "\u0120 a"]}}
    put("tokenizer", "bpe", json.dumps(whole, ensure_ascii=False).encode() + CUT + "abc ab \u00e9 1234 it's\n\n  x".encode())
    split = {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}"}, "behavior": "Isolated", "invert": False}
    small = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "use_regex": False}]},
             "model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
    put("tokenizer", "small", json.dumps(small).encode() + CUT + b"ab ba")
    model = small["model"]
    for name, part in (("fallback", {"model": {**model, "byte_fallback": True}}), ("dropout", {"model": {**model, "dropout": 0.1}}),
                       ("unigram", {"model": {**model, "type": "Unigram"}}), ("merge", {"model": {**model, "merges": [["a"]]}}),
                       ("unk", {"model": {**model, "unk_token": "a"}}), ("normalizer", {"normalizer": {"type": "NFC"}}),
                       ("processors", {"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, whole["post_processor"]]}}),
                       ("processors_none", {"post_processor": {"type": "Sequence"}}), ("processor", {"post_processor": {"type": "Roberta"}})):
        put("tokenizer", f"bpe_{name}", json.dumps({**small, **part}).encode() + CUT + b"ab")
    byte_level = {"type": "ByteLevel", "use_regex": True}
    for name, parts in (("digits", [{"type": "Digits", "individual_digits": True}, byte_level]), ("digits_together", [{"type": "Digits"}, byte_level]),
                        ("words", [{**split, "pattern": {"String": "a"}}, byte_level]), ("inverted", [{**split, "invert": True}, byte_level]),
                        ("late", [byte_level, split]), ("prefix", [{**byte_level, "add_prefix_space": True}]), ("unknown", [{"type": "Metaspace"}]),
                        ("none", [split])):
        put("tokenizer", name, json.dumps({**small, "pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}).encode() + CUT + b"ab 12")
    config = {"add_bos_token": True, "eos_token": {"content": "b"}, "bos_token": None}
    put("tokenizer", "config", json.dumps(small).encode() + CUT + b"ab ba" + CUT + json.dumps(config).encode())
    put("tokenizer", "sentencepiece", b"\2" + b"\x0a\x08\x0a\x01a\x15\0\0\x80?" + b"\x12\x05\x18\x02\xc0\x01\x01" + b"\x1a\x03\x12\x01x" + b"\x19" + b"\0" * 8 + b"\x0b")


def make_config():
    old = {"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
           "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
           "hidden_act": "silu", "attention_bias": False, "tie_word_embeddings": True, "head_dim": None}
    put("config", "v4", json.dumps({**old, "rope_scaling": None}))
    put("config", "llama3", json.dumps({**old, "rope_parameters": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}))


def make_recipe():
    put("recipe", "plain", "seed: 5\nencoder:\n  kind: mf\nactivate:\n  learning_rate: 1e-4\n  phases:\n  - {steps: 10}\n  - steps: 20\n")
    put("recipe", "aliases", "a: &x [1, 'two', \"thr\\u00e9e\"]\nb: *x\nc: |\n  text\n  more\nd: !!str 5\n")
    put("recipe", "base", "base: other.yaml\nmodel: {path: \"m\"}\n")


def make_arguments():
    put("arguments", "train", b"--config" + CUT + b"r.yaml" + CUT + b"--set=run.seed=5" + CUT + b"--set" + CUT + b"a=b" + CUT + b"--validate" + CUT +
        b"--ranks" + CUT + b"8" + CUT + b"--memory=1.5" + CUT + b"--resume=never" + CUT + b"--experts" + CUT + b"1,2")
    put("arguments", "files", b"--seconds" + CUT + b"3" + CUT + b"--" + CUT + b"-x" + CUT + b"data.h5")
    put("arguments", "wrong", b"--confg" + CUT + b"--ranks" + CUT + b"--ranks=x" + CUT + b"lost")


def make_tables():
    items = b"item_id,title,keywords\na,\"Heat, \"\"the\"\" film\",x|y\nb,Alien (1979),\n"
    ratings = b"user_id,item_id,rating,timestamp\n" + b"".join(b"u%d,%s,%d,%d\n" % (i % 3, b"ab"[i % 2:i % 2 + 1], i % 6, i) for i in range(12))
    put("tables", "ratings", b"\0" + ratings + CUT + items)
    for name, more in (("lines", b'c,"two\nlines",\n'), ("open", b'c,"never closed\n'), ("behind", b'c,"a" b,\n')):
        put("tables", f"ratings_{name}", b"\0" + ratings + CUT + items + more)
    put("tables", "ratings_column", b"\0" + ratings.replace(b"rating", b"stars") + CUT + items)
    put("tables", "ratings_columns", b"\0" + ratings.replace(b"rating", b"item_id") + CUT + items)
    split = b"row,user_id,item_id,label,timestamp\n"
    put("tables", "csv", b"\1" + CUT.join([split + b"0,u,a,1,1\n", split + b"1,u,b,0,2\n", split + b"2,v,a,1,3\n", items]))
    history = b"row,user_id,item_id,label,timestamp,history_all,history_all_label\n"
    for name, train, valid, test in (
            ("history", b"0,u,a,1,1,,\n", b"1,u,b,0,2,a,1\n", b"2,v,a,1,3,,\n"), ("history_wrong", b"0,u,a,1,1,,\n", b"1,u,b,0,2,b,1\n", b"2,v,a,1,3,,\n"),
            ("history_long", b"0,u,a,1,1,,\n", b"1,u,b,0,2,a b,1\n", b"2,v,a,1,3,,\n"), ("empty", b"0,u,a,1,1,,\n", b"", b"2,v,a,1,3,,\n"),
            ("twice", b"0,u,a,1,1,,\n", b"0,u,b,0,2,a,1\n", b"2,v,a,1,3,,\n"), ("apart", b"0,u,a,1,1,,\n", b"1,v,b,0,2,,\n", b"2,u,a,1,3,a,1\n"),
            ("back", b"0,u,a,1,5,,\n", b"1,u,b,0,2,a,1\n", b"2,v,a,1,3,,\n")):
        put("tables", f"csv_{name}", b"\1" + CUT.join([history + train, history + valid, history + test, items]))
    put("tables", "csv_drop", bytes([1 + 8 * 2]) + CUT.join([split + b"0,u,a,1,1\n", split + b"1,u,b,0,2\n", split + b"2,v,a,1,3\n", items]))
    inter = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + b"".join(b"%d\t%d\t%d\t%d\n" % (i % 3, i % 2, i % 6, i) for i in range(12))
    put("tables", "recbole", b"\2" + inter + CUT + b"item_id:token\tmovie_title:token_seq\tclass:token_seq\n0\tHeat\tx y\n1\tAlien\tz\n")
    old = b"".join(b"%d\t%d\t%d\t%d\n" % (i % 3, i % 2, i % 6, i) for i in range(12))
    flags = b"|" + b"|".join([b"0"] * 18 + [b"1"]) + b"\n"
    put("tables", "ml100k", b"\3" + old + CUT + b"0|H\xe9at (1995)|01-Jan-1995||http" + flags + b"1|Alien|01-Jan-1995||http" + flags)
    put("tables", "ml1m", b"\4" + old.replace(b"\t", b"::") + CUT + b"0::Heat (1995)::Action|Crime\n1::Alien::(no genres listed)\n")
    put("tables", "ml20m", b"\5userId,movieId,rating,timestamp\n" + old.replace(b"\t", b",") + CUT + b"movieId,title,genres\n0,\"He,at\",A|B\n1,Alien,\n")
    def lines(*objects):
        return "".join(json.dumps(one, ensure_ascii=i % 2 == 0) + "\n" for i, one in enumerate(objects)).encode()
    reviews = [{"reviewerID": f"R{i % 3}", "asin": "ABC"[i % 3], "overall": float(i % 6), "unixReviewTime": i, "x": [1, {"y": None}, "\\u00e9\n"]} for i in range(12)]
    products = [{"asin": "A", "title": "Heat &amp; <i>Dust</i> &eacute;&#233;&#xe9;&#x110000;&zz; (1995)", "category": ["Books", "War", "Drama &ndash; x"],
                 "brand": "Visit Amazon's Jane Doe Page"}, {"asin": "B", "title": "var getTime", "category": [], "brand": ""}, {"asin": "B", "title": "Twice"}]
    for settings in (0, 2, 4, 13, 16):
        put("tables", f"amazon{settings}", bytes([8 * settings + 6]) + lines(*reviews) + CUT + lines(*products, *([{"asin": "C"}] if settings == 0 else [{"asin": "D"}])))
    visits = [{"user_id": f"u{i % 3}", "business_id": "ab"[i % 2], "stars": i % 6, "date": f"2018-0{1 + i % 9}-17 12:0{i % 10}:59"} for i in range(12)]
    places = [{"business_id": "a", "name": "Caf\u00e9 \U0001f355", "categories": "Food, Tea|x", "city": "Oslo"}, {"business_id": "b", "name": None, "categories": None}]
    put("tables", "yelp", bytes([7]) + lines(*visits) + CUT + lines(*places))
    put("tables", "yelp_date", bytes([7]) + lines({**visits[0], "date": "yesterday"}) + CUT + lines(*places))
    put("tables", "gzip", b"\0" + gzip.compress(ratings, mtime=0) + CUT + items)


def make_metrics():
    lines = [{"stage": "activate", "step": i, "time": 1e9 + i, "loss": 0.5 / (i + 1), "rate": None} for i in range(4)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    put("metrics", "run", text.encode() + CUT + b"seed: 5\n" + CUT + json.dumps({"auc": 0.7, "users": [1, 2]}).encode())


def make_manifest():
    manifest = {"schema": 1, "step": 1, "files": {"state.h5": {"bytes": 1, "xxh3_128": "00", "sha256": "00"}}, "identity": {"recipe": "aa"}}
    put("manifest", "wrapped", json.dumps({"manifest": manifest, "sha256": "00"}, indent=1) + "\n")
    put("manifest", "hashed", CUT + json.dumps(manifest).encode())


for make in (make_safetensors, make_gguf, make_tokenizer, make_config, make_recipe, make_arguments, make_tables, make_metrics, make_manifest):
    make()
