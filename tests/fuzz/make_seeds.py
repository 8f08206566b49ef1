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
    odd = {"a": {**one, "more": [None, True, -1, 0.5, {"x": ["y", 1]}]}, "__metadata__": None}
    put("safetensors", "unknown_field", safetensors(odd, b"\0" * 8))
    for name, header in (("dtype", {"a": {**one, "dtype": "F33"}}), ("dtype_number", {"a": {**one, "dtype": 1}}), ("shape", {"a": {**one, "shape": [3]}}),
                         ("shape_large", {"a": {**one, "shape": [2 ** 64 - 1]}}), ("shape_overflow", {"a": {**one, "shape": [2 ** 62, 8]}}),
                         ("shape_negative", {"a": {**one, "shape": [-1]}}), ("shape_text", {"a": {**one, "shape": "2"}}), ("offsets", {"a": {**one, "data_offsets": [4, 12]}}),
                         ("offsets_three", {"a": {**one, "data_offsets": [0, 8, 8]}}), ("offsets_one", {"a": {**one, "data_offsets": [0]}}),
                         ("missing", {"a": {"dtype": "F32"}}), ("short", {}), ("metadata_number", {"__metadata__": {"a": 1}}), ("tensor_null", {"a": None}),
                         ("tensor_list", {"a": [1]}), ("key_twice", b'{"__metadata__": {"a": "", "a": ""}}'), ("tensor_twice", b'{"a": 1, "a": 1}'),
                         ("field_twice", b'{"a": {"dtype": "F32", "dtype": "F32"}}'), ("list", b"[1]"), ("no_json", b"{x}"), ("zero", b"{}\0"), ("fraction", b'{"a": 0.5}'),
                         ("boolean", b'{"a": true}'), ("deep", b'{"a": {"more": ' + b"[" * 130)):
        put("safetensors", name, safetensors(header, b"\0" * 8))
    put("safetensors_index", "index", json.dumps({"metadata": {"total_size": 8}, "weight_map": {
        "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}))
    put("safetensors_index", "path", json.dumps({"weight_map": {"a": "../x"}}))
    both = json.dumps({"weight_map": {"weight": "a.safetensors", "y": "b.safetensors"}}).encode()
    def named(name):
        return json.dumps({name: one}).encode()
    put("safetensors_index", "shards", both + CUT + named("weight") + CUT + named("y"))
    put("safetensors_index", "shards_same", both + CUT + named("y") + CUT + named("y"))
    put("safetensors_index", "shards_other", both + CUT + named("x") + CUT + named("y"))


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
    for kind, form in enumerate("BbHhIif?__QqD"):
        if form != "_":
            value = struct.pack("<" + form.replace("D", "d"), 1)
            put("gguf", f"value{kind}", gguf({"x": (kind, value), "y": (array, struct.pack("<IQ", kind, 2) + value * 2)}, []))
    put("gguf", "value_large", gguf({"x": (10, b"\xff" * 8)}, []))
    put("gguf", "value_unknown", gguf({"x": (13, b"\0" * 8)}, []))
    put("gguf", "array_unknown", gguf({"x": (array, struct.pack("<IQ", 13, 1))}, []))
    put("gguf", "array_of_arrays", gguf({"x": (array, struct.pack("<IQ", array, 1))}, []))
    put("gguf", "array_long", gguf({"x": (array, struct.pack("<IQ", u32, 1 << 20))}, []))
    put("gguf", "alignment", gguf({"general.alignment": number(3)}, []))
    put("gguf", "alignment_text", gguf({"general.alignment": (text, text_value("a"))}, []))
    for name, tensor in (("overflow", ("a", [1 << 62, 4], 0, 0)), ("extent", ("a", [1 << 63], 0, 0)), ("block", ("a", [3], 8, 0)), ("bytes", ("a", [1 << 62], 0, 0)),
                         ("end", ("a", [64], 0, 0)), ("offset", ("a", [1], 0, 4)), ("dimensions", ("a", [1] * 9, 0, 0)), ("type", ("a", [4], 26, 0)), ("type_unknown", ("a", [4], 99, 0))):
        put("gguf", f"tensor_{name}", gguf({}, [tensor], b"\0" * 32))
    put("gguf", "magic", b"GGML" + b"\0" * 20)
    put("gguf", "tiny", b"GG")
    put("gguf", "big_endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    put("gguf", "version", b"GGUF" + struct.pack("<IQQ", 4, 0, 0))
    for name, key in (("kind", {"general.architecture": (text, text_value("gpt2"))}), ("width_text", {"llama.embedding_length": (text, text_value("4"))}),
                      ("rope", {"llama.rope.dimension_count": number(4), "llama.rope.freq_base": (f32, struct.pack("<f", 1e4))}),
                      ("scaling", {"llama.rope.scaling.type": (text, text_value("yarn"))}),
                      ("linear", {"llama.rope.scaling.factor": (f32, struct.pack("<f", 2))})):
        put("gguf", f"config_{name}", gguf({**shape, **key}, embedding, b"\0" * 16 * len(pieces)))
    put("gguf", "config_heads", gguf(shape, [("token_embd.weight", [4, 2], 0, 0), ("output.weight", [4, 2], 0, 32), ("rope_freqs.weight", [1], 0, 64)], b"\0" * 96))
    put("gguf", "config_bias", gguf(shape, [*embedding, ("blk.0.attn_q.bias", [4], 0, 32 * len(pieces))], b"\0" * 64 * len(pieces)))
    byte_bpe("bpe_type", "smollm", types=[1] * (len(bpe) - 1) + [6])
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
    gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    split = {"type": "Split", "pattern": {"Regex": gpt2}, "behavior": "Isolated", "invert": False}
    small = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
             "model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
    put("tokenizer", "small", json.dumps(small).encode() + CUT + b"ab ba")
    model = small["model"]
    for name, part in (("fallback", {"model": {**model, "byte_fallback": True}}), ("dropout", {"model": {**model, "dropout": 0.1}}),
                       ("unigram", {"model": {**model, "type": "Unigram"}}), ("merge", {"model": {**model, "merges": [["a"]]}}),
                       ("unk", {"model": {**model, "unk_token": "a"}}), ("normalizer", {"normalizer": {"type": "NFC"}}),
                       ("processors", {"post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, whole["post_processor"]]}}),
                       ("processors_none", {"post_processor": {"type": "Sequence"}}), ("processor", {"post_processor": {"type": "Roberta"}})):
        put("tokenizer", f"bpe_{name}", json.dumps({**small, **part}).encode() + CUT + b"ab")
    def added(*tokens):
        return {"added_tokens": list(tokens)}
    def template(*single):
        return {"post_processor": {"type": "TemplateProcessing", "single": list(single)}}
    end = {"id": 3, "content": "</s>", "special": True}
    for name, part in (("model_none", {"model": 1}), ("model_empty", {"model": {}}), ("prefix", {"model": {**model, "continuing_subword_prefix": "##"}}),
                       ("id", {"model": {**model, "vocab": {"a": -1}}}), ("id_twice", {"model": {**model, "vocab": {"a": 0, "b": 0}}}),
                       ("no_text", {"model": {**model, "vocab": {"": 0}}}), ("normalizer_number", {"normalizer": 1}),
                       ("added_number", {"added_tokens": 1}), ("added_numbers", added(1)), ("added_twice", added(end, end)),
                       ("added_named", added({"id": 2, "content": "ab"}, end, {"id": 4, "content": "more"})), ("processor_number", {"post_processor": 1}),
                       ("template_none", template()), ("template_text", template({"Sequence": {"id": "A"}})), ("template_number", template({"SpecialToken": 1})),
                       ("template_unknown", template({"SpecialToken": {"id": "x"}}))):
        put("tokenizer", f"bpe_{name}", json.dumps({**small, **part}).encode() + CUT + b"ab</s>more")
    for name, config in (("end", {"eos_token": "</s>", "do_lower_case": False, "strip_accents": None}), ("end_unknown", {"eos_token": {"content": "x"}}),
                         ("flag", {"add_bos_token": 1})):
        put("tokenizer", f"config_{name}", json.dumps({**small, **added(end)}).encode() + CUT + b"ab" + CUT + json.dumps(config).encode())
    pieces = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": {"[UNK]": 0, "a": 1, "##b": 2, "[CLS]": 3, "[SEP]": 4}}
    bert = {"normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": pieces}
    put("tokenizer", "wordpiece", json.dumps(bert).encode() + CUT + b"ab a")
    for name, part in (("settings", {"model": {**pieces, "max_input_chars_per_word": 9}, **added({"id": 3, "content": "[CLS]", "special": True})}),
                       ("longest", {"model": {**pieces, "max_input_chars_per_word": -1}}), ("id", {"model": {**pieces, "vocab": {"a": 1 << 21}}}),
                       ("id_twice", {"model": {**pieces, "vocab": {"a": 0, "b": 0}}}), ("no_vocab", {"model": {**pieces, "vocab": {}}}),
                       ("cut", {"pre_tokenizer": {"type": "Whitespace"}}), ("normalizer", {"normalizer": {"type": "NFC"}}), ("added_number", {"added_tokens": 1}),
                       ("added_numbers", added(1)), ("added_unknown", added({"id": 4, "content": "new"}))):
        put("tokenizer", f"wordpiece_{name}", json.dumps({**bert, **part}).encode() + CUT + b"ab a")
    lines = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n"
    put("tokenizer", "vocabulary", b"\3" + lines + CUT + b"ab A" + CUT + b'{"do_lower_case": false, "tokenize_chinese_chars": false, "strip_accents": true}')
    put("tokenizer", "vocabulary_gap", b"\3" + lines.replace(b"a\n", b"\n") + CUT + b"ab")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    for name, parts in (("digits", [{"type": "Digits", "individual_digits": True}, byte_level]), ("digits_together", [{"type": "Digits"}, byte_level]),
                        ("words", [{**split, "pattern": {"String": "a"}}, byte_level]), ("inverted", [{**split, "invert": True}, byte_level]), ("other", [{**split, "pattern": {"Regex": r"\p{N}{1,3}"}}]),
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
    for name, part in (("kind", {"model_type": "gpt2"}), ("kind_number", {"model_type": 1}), ("bias", {"attention_bias": True}), ("act", {"hidden_act": "gelu"}),
                       ("width_none", {"hidden_size": None}), ("layers", {"num_hidden_layers": 0}), ("heads", {"num_key_value_heads": 3}), ("odd", {"head_dim": 15}),
                       ("epsilon", {"rms_norm_eps": 0}), ("epsilon_text", {"rms_norm_eps": "0"}), ("many", {"vocab_size": 1 << 24, "hidden_size": 1 << 20}),
                       ("yarn", {"rope_scaling": {"type": "yarn"}}), ("frequencies", {"rope_parameters": {"rope_type": "llama3", "low_freq_factor": 4.0, "high_freq_factor": 1.0}})):
        put("config", name, json.dumps({**old, **part}))
    put("config", "list", "[]")
    for name, ends in (("one", 2), ("list", [2, 3]), ("text", "2"), ("none", None)):
        put("config", f"generation_{name}", "\3" + json.dumps({"eos_token_id": ends}))
    peft = {"peft_type": "LORA", "target_modules": ["q_proj", "v_proj"], "r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "init_lora_weights": True}
    for name, part in (("whole", {}), ("kind", {"peft_type": "IA3"}), ("targets", {"target_modules": ["k_proj", 1]}), ("dora", {"use_dora": True}),
                       ("init", {"init_lora_weights": "pissa"}), ("rank", {"r": 65}), ("rank_text", {"r": "8"}), ("dropout", {"lora_dropout": 1}),
                       ("stabilised", {"use_rslora": True, "lora_dropout": 0, "bias": "none", "rank_pattern": {}}), ("stabilised_text", {"use_rslora": "yes"})):
        put("config", f"peft_{name}", "\2" + json.dumps({**peft, **part}))


def make_recipe():
    put("recipe", "plain", "seed: 5\nencoder:\n  kind: mf\nactivate:\n  learning_rate: 1e-4\n  phases:\n  - {steps: 10}\n  - steps: 20\n")
    put("recipe", "aliases", "a: &x [1, 'two', \"thr\\u00e9e\"]\nb: *x\nc: |\n  text\n  more\nd: !!str 5\n")
    put("recipe", "base", "base: other.yaml\nmodel: {path: \"m\"}\n" + "\x1e" + "run: {seed: 7}\nactivate: {phases: [{name: a}, {name: b}]}\n" +
        "\x1eactivate.phases.1.steps=1_000\x1eevaluate.models=[global, fused]\x1emodel.path=\x1erun.record_collectives=yes\x1emore.needed=1e3")
    for name, text in (("base_circle", "base: recipe.yaml\n"), ("base_missing", "base: [x]\n"), ("base_bad", "seed: [\n"), ("base_wrong", "run: {seed: x}\n")):
        put("recipe", name, "base: other.yaml\n\x1e" + text)
    put("recipe", "base_empty", "base: ''\n")
    put("recipe", "base_nowhere", "base: nowhere.yaml\n")
    put("recipe", "base_embedded", "base: embedded:recipes/thinkrec\nrun: {seed: 1}\n")
    put("recipe", "base_embedded_unknown", "base: embedded:recipes/thinkreck\n")
    put("recipe", "types", """run: {seed: 1, device: cpu, record_collectives: on, collective_timeout: 1.5}
data: {path: "d\\x01\\n\\"\\\\"}
model: {path: \u00e9\u20ac\U0001f355}
activate: {phases: [{name: a.b}, {name: "null", steps: 5}]}
evaluate: {models: "global, fused"}
more: {reals: [1, 0.5], words: [a, 'b c'], rates: [1e-1, 2], needed: 4}
""")
    put("recipe", "nulls", "run: {seed: }\ndata: {path: ~}\nmore: {words: , reals: [], rates: }\nactivate:\n  phases:\nencoder:\n")
    put("recipe", "wrong", """run: {seed: x, device: gpu, threads: 2000, record_collectives: maybe, sed: 1, seed: 2}
encoder: 5
activate: {phases: {name: a}}
expert: [1]
learning_rate: 1
nothing_like_it: 1
more: {reals: [2, x, [1]], words: {a: b}, rates: [0, {a: 1}], needed: }
evaluate: {models: [one], k: [1]}
""")
    put("recipe", "list", "- a\n")
    put("recipe", "errors", "".join(f"key{i}: 1\n" for i in range(300)))
    put("recipe", "elements", "activate: {phases: [" + "{}," * 1001 + "]}\n")
    put("recipe", "sets", CUT.join([b"activate: {phases: [{}]}", b"", b"no_equals", b"=1", b"run.sed=1", b"run=1", b"activate.phases=1", b"activate.phases.1.steps=1",
                                    b"activate.phases.x.steps=1", b"run.seed.more=1", b"seed=1", b"run.seed=x", b"more.reals=1,2", b"zzzzzz=1", b"run.seed="]))
    put("recipe", "set_not_utf8", CUT.join([b"", b"", b"data.path=\xff"]))
    put("recipe", "set_odd", CUT.join([b"", b"", "data.path=\u0085\u2028\ufeff\x01\x7f\r\t: #".encode()]))
    for name, text in (("not_utf8", b"a: \xff\n"), ("overlong", b"a: \xe0\x80\x80\n"), ("surrogate", b"a: \xed\xa0\x80\n"), ("beyond", b"a: \xf4\x90\x80\x80\n"),
                       ("control", b"a: 1\nb: \1\n"), ("documents", b"a: 1\n---\nb: 1\n"), ("deep", b"[" * 70), ("key", b"[a]: b\n"), ("inside", b"a: &a [*a]\n"),
                       ("bad", b"a: [1\n"), ("deep_alias", b"a: &a " + b"[" * 40 + b"]" * 40 + b"\nb: " + b"[" * 40 + b"*a" + b"]" * 40 + b"\n"),
                       ("laughs", b"a: &a [" + b"1," * 50 + b"]\nb: &b [" + b"*a," * 50 + b"]\nc: [" + b"*b," * 50 + b"]\n")):
        put("recipe", f"yaml_{name}", text)


def make_arguments():
    put("arguments", "train", b"--config" + CUT + b"r.yaml" + CUT + b"--set=run.seed=5" + CUT + b"--set" + CUT + b"a=b" + CUT + b"--validate" + CUT +
        b"--ranks" + CUT + b"8" + CUT + b"--memory=1.5" + CUT + b"--resume=never" + CUT + b"--experts" + CUT + b"1,2")
    put("arguments", "files", b"--seconds" + CUT + b"3" + CUT + b"--" + CUT + b"-x" + CUT + b"data.h5")
    put("arguments", "wrong", b"--confg" + CUT + b"--ranks" + CUT + b"--ranks=x" + CUT + b"lost")
    put("arguments", "placeholder", b"--%original_token%=")
    put("arguments", "types", CUT.join([b"--text=a b", b"--integer", b"-1_000", b"--real=+5e-1", b"--least=3", b"--most", b"-4", b"--flag", b"--choice=two", b"--path=/x",
                                        b"--words=one", b"--words=two", b"--reals=[1, 2.5]"]))
    for number, text in enumerate((b"help", b"version", b"help-format=man", b"help-format=markdown", b"help-format=bash", b"help-format=html", b"flag=off", b"flag=maybe",
                                   b"integer=1e5", b"integer=1e-1", b"integer=x", b"integer=2000000", b"real=x", b"real=2", b"real=", b"least=-1", b"most=10",
                                   b"choice=tow", b"choice=" + b"x" * 200, b"reals=1,x", b"reals=-1", b"reals=1,", b"words=tow", b"words=", b"zzzzzzzz=1",
                                   b"integr=5", b"x" * 200)):
        put("arguments", f"option{number:02}", b"--" + text)
    put("arguments", "dash_h", b"-h")
    put("arguments", "twice", b"--choice=one" + CUT + b"--choice=two")
    put("arguments", "no_value", b"--text" + CUT + b"--flag")
    put("arguments", "unexpected", b"lost")
    put("arguments", "at_the_end", b"--text")


def make_tables():
    items = b"item_id,title,keywords\na,\"Heat, \"\"the\"\" film\",x|y\nb,Alien (1979),\n"
    films = items.replace(b"item_id", b"item")
    ratings = b"user,item,rating,timestamp\n" + b"".join(b"u%d,%s,%d,%d\n" % (i % 3, b"ab"[i % 2:i % 2 + 1], i % 6, i) for i in range(12))
    put("tables", "ratings", b"\0" + ratings + CUT + films)
    for name, more in (("lines", b'c,"two\nlines",\n'), ("open", b'c,"never closed\n'), ("behind", b'c,"a" b,\n')):
        put("tables", f"ratings_{name}", b"\0" + ratings + CUT + films + more)
    put("tables", "ratings_column", b"\0" + ratings.replace(b"rating", b"stars") + CUT + films)
    put("tables", "ratings_columns", b"\0" + ratings.replace(b"rating", b"item") + CUT + films)
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
    for name, part in (("text_number", {"asin": 5}), ("missing", {"asin": None}), ("rating_text", {"overall": "5"}), ("time_real", {"unixReviewTime": 2.5}),
                       ("time_whole", {"unixReviewTime": 2.0}), ("time_large", {"unixReviewTime": 2 ** 63}), ("flag", {"overall": True}), ("object", {"asin": {"a": "b"}})):
        put("tables", f"amazon_{name}", bytes([6]) + lines({**reviews[0], **part}) + CUT + lines(*products))
    for name, line in (("list", b"[1]\n"), ("number", b"1\n"), ("bad", b'{"asin": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", x}\n'), ("twice", b'{"asin": "A", "asin": "B"}\n'),
                       ("deep", b'{"x": ' + b"[" * 70 + b"\n"), ("blank", b" \n\n")):
        put("tables", f"amazon_line_{name}", bytes([6]) + line + lines(*reviews) + CUT + lines(*products))
    put("tables", "amazon_title_flag", bytes([6]) + lines(*reviews) + CUT + lines({**products[0], "category": True}))
    put("tables", "ml1m_fields", b"\4" + old.replace(b"\t", b":") + CUT + b"0::Heat (1995)::Action|Crime\n")
    put("tables", "ml100k_flag", b"\3" + old + CUT + b"0|Heat (1995)|01-Jan-1995||http" + flags.replace(b"0", b"2", 1))
    put("tables", "ml20m_header", b"\5userId,movieId,rating\n" + CUT + b"movieId,title,genres\n0,\"He,at\",A|B\n1,Alien,\n")
    def packed(data):
        return gzip.compress(data, mtime=0)
    half = ratings[:len(ratings) // 2]
    for name, file in (("whole", packed(ratings)), ("members", packed(half) + packed(ratings[len(half):]) + b"\0" * 9), ("cut", packed(ratings)[:-9]),
                       ("damaged", packed(ratings)[:30] + b"\xff" * 30), ("more", packed(ratings) + b"more"), ("crc", packed(ratings)[:-5] + b"\0" * 5)):
        assert CUT * 2 not in file and file.startswith(b"\x1f\x8b")
        put("tables", f"gzip_{name}", b"\0" + file + CUT * 2 + films)
    header = ratings[:ratings.index(b"\n") + 1]
    for name, rows in (("empty", b""), ("narrow", header + b"u,a\n"), ("wide", header + b"u,a,1,1,1\n"), ("not_number", header + b"u,a,x,1\n"),
                       ("infinite", header + b"u,a,inf,1\n"), ("range", header + b"u,a,1,99999999999999999999\n"), ("range_real", header + b"u,a,1e999,1\n"),
                       ("real_time", header + b"u,a,1,1.5\n"), ("last_empty", header + b"u,a,1,\n"), ("mark", b"\xef\xbb\xbf" + ratings.replace(b"\n", b"\r\n\r\n"))):
        put("tables", f"ratings_{name}", b"\0" + rows + CUT + films)
    put("tables", "csv_not_integer", b"\1" + CUT.join([split + b"x,u,a,1,1\n", split + b"1,u,b,0,2\n", split + b"2,v,a,1,3\n", items]))
    put("tables", "csv_range", b"\1" + CUT.join([split + b"99999999999999999999,u,a,1,1\n", split + b"1,u,b,0,2\n", split + b"2,v,a,1,3\n", items]))
    put("tables", "ml1m_number", b"\4" + b"0::0::x::0\n" + CUT + b"0::Heat (1995)::Action|Crime\n")


def make_metrics():
    lines = [{"stage": "activate", "step": i, "time": 1e9 + i, "loss": 0.5 / (i + 1), "rate": None} for i in range(4)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    recipe = "run: {seed: 5}\nactivate: {phases: [{steps: 10}]}\n"
    scores = {"auc": 0.7, "users": [1, 2], "models": {"fused": {"auc": 0.7, "auc_ci": [0.6, 0.8], "name": "x", "good": True, "none": None, "back": [2, 1], "mixed": [1, "a"]}}}
    put("metrics", "run", text.encode() + CUT + recipe.encode() + CUT + json.dumps(scores).encode() + CUT + b'{"expert": {"first_rank": 0, "ranks": 2}}' +
        CUT + b'{"points": [{"ranks": 1}]}')
    put("metrics", "lines", text + 'x\n[1]\n{"stage": 1}\n{"stage": "a", "step": 1e300, "time": 5, "loss": 1}\n{"stage": "a", "step": 3, "time": 4, "los')
    put("metrics", "recipe_unknown", text + "\x1eseed: 5\n")
    put("metrics", "recipe_bad", text + "\x1eseed: [\n")
    put("metrics", "evaluation_bad", "\x1e\x1e[1]")


def make_manifest():
    manifest = {"schema": 1, "step": 1, "files": {"state.h5": {"bytes": 1, "xxh3_128": "00", "sha256": "00"}}, "identity": {"recipe": "aa"}}
    put("manifest", "wrapped", json.dumps({"manifest": manifest, "sha256": "00"}, indent=1) + "\n")
    right = {**manifest, "files": {"state.h5": "right"}}
    for name, value in (("hashed", manifest), ("right", right), ("schema", {**right, "schema": 2}), ("files", {**manifest, "files": 1}), ("identity_none", {**right, "identity": 1}),
                        ("identity", {**right, "identity": {"recipe": "bb"}})):
        put("manifest", name, CUT + json.dumps(value).encode())
    values = struct.pack("<4f", 1, -2.5, 1e-9, 0)
    put("manifest", "saved", b"\x1d" + CUT.join([json.dumps({"best": 0.5, "rows": [1, None, "\u00e9"]}).encode(), b"a", values, b"", b"", b"b/c", values[:8]]))
    put("manifest", "nan", b"\x1d{}" + CUT + b"a" + CUT + struct.pack("<f", float("nan")))


for make in (make_safetensors, make_gguf, make_tokenizer, make_config, make_recipe, make_arguments, make_tables, make_metrics, make_manifest):
    make()
