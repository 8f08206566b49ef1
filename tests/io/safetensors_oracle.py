#!/usr/bin/env python3
"""Mutates safetensors files and asks thinkrec and the PyPI package safetensors whether they take them: they must agree on every file,
but for what thinkrec refuses on purpose (src/io/safetensors_header.h), which is recognised here apart from its message.

  safetensors_oracle.py TOOL DEPS [COUNT] [SEED]
"""
import json
import os
import random
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import oracle  # noqa: E402

DTYPES = ["BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16",
          "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64", "f32", "F33", ""]
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
NUMBERS = ["0", "1", "2", "8", "-1", "-0", "1.0", "1e1", "0e0", "01", "+1", "4294967296", "9223372036854775807", "9223372036854775808",
           "18446744073709551615", "18446744073709551616", "1e400", "NaN", "null", "true", '"1"', "[]", "{}", "[1]"]
SNIPPETS = [b",", b":", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\udc00\\ud800", b"\\u00e9", b"\xff", b"\xc3\xa9",
            b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\0", b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x7f", b"null", b"/**/", b"{}", b"[]", b'"a"',
            b'"__metadata__"', b'"__metadata__":{},', b'"__metadata__":null,', b'"dtype":"F32",', b'"shape":[2],', b'"x":[[1,{"y":[]}]],',
            b'"data_offsets":[0,8],', b"\\x", b"\\/", b"\\b", b"1e5", b"-", b".", b"[" * 126, b"[" * 130 + b"]" * 130]


def whole(rng):
    """A file that is right: header text and data."""
    header, end = {}, 0
    if rng.random() < 0.4:
        header["__metadata__"] = {rng.choice(["format", "k", "\u00e9", ""]): rng.choice(["pt", "", "\n"]) for _ in range(rng.randrange(3))}
    for i in range(rng.randrange(4)):
        dtype = rng.choice(DTYPES[:-3])
        shape = [rng.choice([0, 1, 2, 3, 4, 8]) for _ in range(rng.randrange(4))]
        bits = BITS.get(dtype, 32 if dtype.endswith("32") else 8)
        for extent in shape:
            bits *= extent
        if bits % 8 != 0:
            shape, bits = shape + [4], bits * 4
        header[rng.choice(["a", "b.weight", "\u65e5", "x\ny"]) + str(i)] = {
            "dtype": dtype, "shape": shape, "data_offsets": [end, end + bits // 8]}
        end += bits // 8
    names = list(header)
    rng.shuffle(names)
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")])
    text = json.dumps({name: header[name] for name in names}, ensure_ascii=rng.random() < 0.5, separators=separators)
    return header, text, bytes(end)


def change_meaning(header, rng):
    """One field of one tensor, set to something else; gives the header's text."""
    tensors = [name for name in header if name != "__metadata__"]
    if not tensors:
        return json.dumps({"__metadata__": {"k": rng.choice([1, None, "x", [], {}])}})
    entry = header[rng.choice(tensors)]
    marks = []

    def raw():
        marks.append(rng.choice(NUMBERS))
        return f"@{len(marks) - 1}@"
    kind = rng.randrange(7)
    if kind == 0:
        entry["dtype"] = rng.choice([*DTYPES, raw(), {"F32": None}])
    elif kind == 1 and entry["shape"]:
        entry["shape"][rng.randrange(len(entry["shape"]))] = raw()
    elif kind == 2:
        entry["shape"] = [raw() for _ in range(rng.randrange(4))]
    elif kind == 3:
        entry["data_offsets"][rng.randrange(2)] = rng.choice([raw(), entry["data_offsets"][0] + rng.choice([-8, -1, 1, 8])])
    elif kind == 4:
        entry["data_offsets"] = rng.choice([[], [0], [0, 0, 0], entry["data_offsets"][::-1], raw(), {}])
    elif kind == 5:
        del entry[rng.choice(list(entry))]
    else:
        entry[rng.choice(["extra", "Shape", ""])] = rng.choice([raw(), [[{}]], "text"])
    if rng.random() < 0.03:
        name = rng.choice(tensors)
        header[name] = [header[name].get(key) for key in ("dtype", "shape", "data_offsets")]
    text = json.dumps(header)
    for i, mark in enumerate(marks):
        text = text.replace(f'"@{i}@"', mark)
    return text


def mutant(rng):
    header, text, data = whole(rng)
    kind = rng.randrange(10)
    if kind < 5:
        text = change_meaning(header, rng)
    text = bytearray(text.encode("utf-8", "surrogatepass"))
    if kind >= 4:
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            at = rng.randrange(len(text) + 1)
            choice = rng.randrange(5)
            if choice == 0 and at < len(text):
                text[at] ^= 1 << rng.randrange(8)
            elif choice == 1:
                del text[at:at + rng.choice([1, 1, 2, 5])]
            elif choice == 2:
                text[at:at] = rng.choice(SNIPPETS)
            elif choice == 3:
                text[at:at] = rng.choice(NUMBERS).encode()
            else:
                other = rng.randrange(len(text) + 1)
                text[at:at] = text[min(at, other):max(at, other)]
    if rng.random() < 0.2:
        text += rng.choice([b" ", b"        ", b"\n", b"\0", b"\t", b"x", b"{}"])
    length = len(text)
    if rng.random() < 0.05:
        length = rng.choice([0, 1, 7, 8, length - 1, length + 1, length + len(data), length + len(data) + 1, 100_000_000, 100_000_001, 2**63, 2**64 - 1])
    if rng.random() < 0.1:
        data = rng.choice([data[:-1], data + b"\0", data + b"\0" * 8, b""])
    out = struct.pack("<Q", max(0, length)) + bytes(text) + data
    return out[:rng.randrange(len(out))] if rng.random() < 0.03 else out


def stricter_on_purpose(data):
    """Which of the four listed reasons a file that the package takes gives thinkrec to refuse it; None: none of them."""
    length, = struct.unpack_from("<Q", data)
    found = []

    def pairs(items):
        if len({key for key, _ in items}) < len(items):
            found.append("a name twice")
        return dict(items)
    header = json.loads(data[8:8 + length], object_pairs_hook=pairs)
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if isinstance(entry, list):
            found.append("a tensor as a list")
            continue
        if isinstance(entry["dtype"], dict):
            found.append("a dtype as an object")
        if any(extent > 2**63 - 1 for extent in entry["shape"]):
            found.append("a dimension above 2^63-1")
    return found[0] if found else None


def main():
    tool, deps = sys.argv[1:3]
    oracle.enter(deps, torch=False)
    from safetensors import SafetensorError, deserialize
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 20_000
    rng = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 7)
    files = [mutant(rng) for _ in range(count)]
    done = subprocess.run([tool], input=b"".join(struct.pack("<Q", len(data)) + data for data in files), stdout=subprocess.PIPE, check=True)
    answers = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    assert len(answers) == count, f"{len(answers)} answers for {count} files; a message of more than one line?"
    taken, listed, different = 0, {}, 0
    for data, answer in zip(files, answers):
        try:
            there = f"taken {len(deserialize(data))}"
        except (SafetensorError, ValueError, OverflowError) as error:
            there = f"refused {error}"
        taken += there.startswith("taken")
        if answer == there or (answer.startswith("refused") and there.startswith("refused")):
            continue
        reason = stricter_on_purpose(data) if answer.startswith("refused") else None
        if reason is not None:
            listed[reason] = listed.get(reason, 0) + 1
            continue
        different += 1
        if different <= 10:
            print(f"DIFFERENT: thinkrec {answer!r}, the package {there!r}: {data[:600]!r}")
    print(f"safetensors: {count} files, {taken} taken by the package; thinkrec the same but for {listed} (on purpose) and {different}")
    assert taken >= count // 10 and count - taken >= count // 10, "the mutations are too gentle or too rough"
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
