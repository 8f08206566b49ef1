#!/usr/bin/env python3
"""Makes a folder that `thinkrec_eval --bleurt` reads out of a public BLEURT checkpoint: config.json, model.safetensors and the tokenizer.

  convert_bleurt.py CHECKPOINT FOLDER [--gelu tanh|erf]

CHECKPOINT is one of
  - a checkpoint as Google gives it out (BLEURT-20, bleurt-base-128, ...): bert_config.json, bleurt_config.json, variables/, and a vocab.txt or
    a sentencepiece model; TensorFlow is not needed;
  - a folder of the PyTorch port (lucadiliello/BLEURT-20, ...) or of transformers (BertForSequenceClassification): config.json,
    pytorch_model.bin or model.safetensors, and vocab.txt, tokenizer.json, spm.model or sentencepiece.model.

--gelu is the form of GELU behind "gelu" in a checkpoint of Google's: tanh, what the public code computes, is the default. A port's own
config.json is kept. Needs numpy; a pytorch_model.bin needs torch, and is read as weights alone (no code in it is run).
"""
import argparse
import json
import pathlib
import re
import shutil
import struct
import sys

import numpy


class Trouble(Exception):
    pass


def varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Trouble("a number in it does not end")
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of a protocol buffer's fields: integers, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
            value, at = int.from_bytes(data[at:at + length], "little"), at + length
        else:
            raise Trouble(f"a field of kind {kind}")
        if at > len(data):
            raise Trouble("it ends within a field")
        yield key >> 3, value


def block(data, handle):
    """Keys and values of a block of a LevelDB table, where keys share what they begin with."""
    offset, size = handle
    if offset + size + 5 > len(data):
        raise Trouble("a block lies behind its end")
    if data[offset + size] != 0:
        raise Trouble("its blocks are compressed, which TensorFlow's bundles are not")
    content = data[offset:offset + size]
    restarts = struct.unpack_from("<I", content, size - 4)[0]
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = varint(content, at)
        own, at = varint(content, at)
        length, at = varint(content, at)
        key = key[:shared] + content[at:at + own]
        yield key, content[at + own:at + own + length]
        at += own + length


def handle_of(data, at=0):
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return (offset, size), at


def read_bundle(prefix):
    """{name: array} of the fp32 tensors of a TensorFlow bundle: PREFIX.index is a LevelDB table from names to entries (type, shape, shard,
    offset, size), the tensors' bytes lie in PREFIX.data-*."""
    path = pathlib.Path(f"{prefix}.index")
    data = path.read_bytes()
    try:
        if len(data) < 48 or struct.unpack_from("<Q", data, len(data) - 8)[0] != 0xdb4775248b80fb57:
            raise Trouble("it is no table of TensorFlow's")
        footer = data[-48:]
        _, at = handle_of(footer)
        index, _ = handle_of(footer, at)
        entries, shards = {}, 1
        for _, place in block(data, index):
            for key, value in block(data, handle_of(place)[0]):
                if key == b"":
                    shards = dict(fields(value)).get(1, 1)
                else:
                    entries[key.decode()] = dict(fields(value))
        files = [numpy.memmap(f"{prefix}.data-{i:05}-of-{shards:05}", dtype=numpy.uint8, mode="r") for i in range(shards)]
        tensors = {}
        for name, entry in entries.items():
            if entry.get(1) != 1:  # DT_FLOAT
                continue
            shape = [dict(fields(size)).get(1, 0) for number, size in fields(entry.get(2, b"")) if number == 2]
            offset, size = entry.get(4, 0), entry.get(5, 0)
            raw = bytes(files[entry.get(3, 0)][offset:offset + size])
            if len(raw) != 4 * int(numpy.prod(shape, dtype=numpy.int64)):
                raise Trouble(f"the tensor {name} has {len(raw)} bytes for the shape {shape}")
            tensors[name] = numpy.frombuffer(raw, dtype="<f4").reshape(shape)
        return tensors
    except (Trouble, IndexError, struct.error, UnicodeDecodeError) as error:
        raise Trouble(f"{path}: cannot be read: {error}")


def our_name(name):
    """What transformers calls a variable of Google's; None for what is no weight of the model."""
    name = name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").split(":")[0]
    if name in ("dense/kernel", "dense/bias"):
        return "classifier." + ("weight" if name.endswith("kernel") else "bias")
    if not name.startswith("bert/") or re.search(r"/(adam_[mv]|Adam(_1)?)$", name):
        return None
    name = name.removeprefix("bert/").replace("/", ".")
    name = re.sub(r"\blayer_(\d+)\b", r"layer.\1", name)
    name = re.sub(r"\bkernel$", "weight", name)
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    if name.endswith("_embeddings"):
        name += ".weight"
    return "bert." + name


def from_google(folder, gelu):
    config = json.loads((folder / "bert_config.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / "bleurt_config.json").read_text(encoding="utf-8")) if (folder / "bleurt_config.json").exists() else {}
    found = read_bundle(folder / "variables" / "variables")
    tensors = {}
    for variable, value in found.items():
        name = our_name(variable)
        if name is not None:
            tensors[name] = value.T if variable.split(":")[0].removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").endswith("kernel") else value
    if "classifier.weight" not in tensors:
        raise Trouble(f"{folder}: no variable dense/kernel among {len(found)}: it has no regression head of BLEURT's")
    projection = tensors.get("bert.encoder.embedding_hidden_mapping_in.weight")
    config["model_type"] = "bert" if projection is None else "rembert"
    if projection is not None:
        config["input_embedding_size"] = projection.shape[1]
        tensors = {name.replace("bert.", "rembert.", 1) if name.startswith("bert.") else name: value for name, value in tensors.items()}
    config["type_vocab_size"] = next(value.shape[0] for name, value in tensors.items() if name.endswith("token_type_embeddings.weight"))
    if config.get("hidden_act", "gelu") == "gelu":
        config["hidden_act"] = "gelu_new" if gelu == "tanh" else "gelu"
    config.setdefault("layer_norm_eps", 1e-12)
    return config, tensors, {"do_lower_case": bool(settings.get("do_lower_case", True))}


def from_port(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if (folder / "model.safetensors").exists():
        return config, folder / "model.safetensors", None
    import torch
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    tensors = {name: value.float().numpy() for name, value in state.items() if value.is_floating_point()}
    if "classifier.weight" not in tensors:
        raise Trouble(f"{folder}/pytorch_model.bin: no tensor classifier.weight: it has no regression head of BLEURT's")
    return config, tensors, None


def pieces(path):
    """[(piece, type)] of a sentencepiece model."""
    found = []
    for number, value in fields(path.read_bytes()):
        if number == 1:
            piece = dict(fields(value))
            found.append((piece.get(1, b"").decode("utf-8", "replace"), piece.get(3, 1)))
    return found


def write_safetensors(path, tensors):
    header, at = {}, 0
    arrays = {name: numpy.ascontiguousarray(tensors[name], dtype="<f4") for name in sorted(tensors)}
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            out.write(array.data)


def convert(checkpoint, folder, gelu):
    google = (checkpoint / "bert_config.json").exists()
    if not google and not (checkpoint / "config.json").exists():
        raise Trouble(f"{checkpoint}: neither bert_config.json nor config.json: no checkpoint of BLEURT")
    config, tensors, settings = from_google(checkpoint, gelu) if google else from_port(checkpoint)
    model = next((path for path in sorted(checkpoint.glob("*.model"))), None)
    names = [name for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json") if (checkpoint / name).exists()]
    if model is None and not {"tokenizer.json", "vocab.txt"} & set(names):
        raise Trouble(f"{checkpoint}: no tokenizer: vocab.txt, tokenizer.json or a sentencepiece .model")
    folder.mkdir(parents=True, exist_ok=True)
    if model is not None:
        known = [piece for piece, _ in pieces(model)]
        for key, piece in (("bos_token_id", "[CLS]"), ("eos_token_id", "[SEP]")):
            if piece not in known:
                raise Trouble(f"{model}: no piece {piece}")
            config[key] = known.index(piece)
        shutil.copyfile(model, folder / "sentencepiece.model")
    else:
        for name in names:
            shutil.copyfile(checkpoint / name, folder / name)
        if settings and "tokenizer_config.json" not in names:
            (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")
    if isinstance(tensors, dict):
        write_safetensors(folder / "model.safetensors", tensors)
    else:
        shutil.copyfile(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    print(f"{folder}: {config['model_type']}, {config['num_hidden_layers']} layers of {config['hidden_size']}, "
          f"{'sentencepiece' if model is not None else 'WordPiece'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--gelu", choices=("tanh", "erf"), default="tanh")
    arguments = parser.parse_args()
    try:
        convert(arguments.checkpoint, arguments.folder, arguments.gelu)
    except (Trouble, OSError, json.JSONDecodeError) as error:
        sys.exit(f"convert_bleurt: {error}")


if __name__ == "__main__":
    main()
