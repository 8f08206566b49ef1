"""Texts and tokenizers that the oracle test and the maker of the fixtures share. Everything follows from the seeds."""
import json
import os
import random

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split_then_bytes(regex):
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level(False)]}


DIGITS = {"type": "Digits", "individual_digits": True}
PRE_TOKENIZERS = {
    "llama3": split_then_bytes(LLAMA3),
    "qwen2": split_then_bytes(QWEN2),
    "gpt2": byte_level(True),
    "gpt2_split": split_then_bytes(GPT2),
    "smollm": {"type": "Sequence", "pretokenizers": [DIGITS, byte_level(True)]},
    "digits_between": {"type": "Sequence",
                       "pretokenizers": [split_then_bytes(LLAMA3)["pretokenizers"][0], DIGITS, byte_level(True)]},
    "one_word": byte_level(False),
}

WORDS = ("the a of and movie film user rating likes don't I'm we'll they've it's you'd he's O'Neil science fiction "
         "comedy drama 1994 Toy Story (1995) 12 3.5 100,000 Amélie Léon naïve façade über Straße año niño Москва фильм "
         "кино Ελλάδα ταινία 电影 喜欢 推荐 日本語 映画 です ます 한국어 영화 हिन्दी फ़िल्म العربية فيلم עברית סרט ไทย หนัง việt phim 🎬 🍿 "
         "👩‍👩‍👧 🇫🇷 e\u0301te\u0301 ½ Ⅳ ٣٤ ४५ -- ... !!! ?! <br/> <|im_end|> <|eot_id|> <tool> foo_bar x=1; {} [] // #tag "
         "@user $5.00 50% \u2019s ﬁ ſ İ ı \u200d \ufeff \ufffd").split()
SPACES = [" ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", " \t ", "\u00a0", "\u3000", "\u2028",
          "\u0085", "\x0b", ""]
BLOCKS = [(0x0, 0x80), (0x20, 0x7f), (0x80, 0x250), (0x250, 0x370), (0x370, 0x530), (0x530, 0x700), (0x900, 0xe00),
          (0xe00, 0x1200), (0x1680, 0x1a00), (0x2000, 0x2100), (0x2100, 0x2500), (0x2500, 0x2c00), (0x2e80, 0x3200),
          (0x3200, 0x3400), (0x4e00, 0xa000), (0xa000, 0xd7b0), (0xe000, 0xf900), (0xf900, 0x10000), (0x10000, 0x11000),
          (0x11000, 0x12000), (0x16000, 0x17000), (0x1d000, 0x1e000), (0x1e000, 0x1f000), (0x1f000, 0x1fb00),
          (0x1fb00, 0x20000), (0x20000, 0x32000), (0xe0000, 0xe0200)]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'lL", "'D", "'ſ", "'", "''s",
                "'x", "'r", "'l"]


def code_points(every=1):
    """All that a string can hold: surrogates are left out. `every`: of the planes that are private or empty, one in so many."""
    return [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and (c < 0x34000 or 0xE0000 <= c < 0xE1000 or c % every == 0)]


def random_text(rng):
    """One of several mixtures: words, characters of a few blocks, numbers and spaces, control characters, contractions."""
    kind = rng.randrange(6)
    length = rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 34))
    if kind == 0:
        return "".join(rng.choice(WORDS) + rng.choice(SPACES) for _ in range(length))
    if kind == 1:
        blocks = rng.sample(BLOCKS, 3)
        return "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(length))
    if kind == 2:
        return "".join(rng.choice(SPACES + list("0123456789") + ["٣", "²", "Ⅳ", "a", ".", "\U00016ff4"]) for _ in range(length))
    if kind == 3:
        return "".join(chr(rng.choice((rng.randrange(0x20), 0x7f, rng.randrange(0x80, 0xa0), 0x20, 0x61, 0x27)))
                       for _ in range(length))
    if kind == 4:
        return "".join(rng.choice(CONTRACTIONS + ["a", "I", "é", " ", "1", "映"]) for _ in range(length))
    pieces = (lambda: rng.choice(WORDS), lambda: rng.choice(SPACES), lambda: chr(rng.randrange(*rng.choice(BLOCKS))),
              lambda: rng.choice(CONTRACTIONS), lambda: str(rng.randrange(10 ** rng.randrange(1, 9))))
    return "".join(rng.choice(pieces)() for _ in range(length))


def random_texts(count, seed):
    rng = random.Random(seed)
    return [random_text(rng) for _ in range(count)]


def long_texts(length=3000):
    """Runs without a word's end, where the order of the merges shows."""
    rng = random.Random(3)
    units = ["a", "ab", " ", "\n", "\r\n ", "\u0301", "1", "the", "映画", "!", "\u00a0"]
    alphabets = ("the", "aeioust", "the \n", ".,!\n")
    return [unit * length for unit in units] + ["".join(rng.choices(alphabet, k=length)) for alphabet in alphabets]


def glosses(most, path="/usr/share/wordnet/data.noun"):
    """English sentences: WordNet's explanations of nouns, evenly spread; none where Debian's wordnet-base is not there."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as lines:
        found = [line.split("| ", 1)[1].strip() for line in lines if "| " in line]
    return found[::max(1, len(found) // max(1, most))][:most]


def every_code_point(every=1, per_text=64):
    """Each of code_points(every) between letters, between space and number, and after an apostrophe; many to a text."""
    points = [chr(c) for c in code_points(every)]
    return [" ;".join(f"a{c}a {c}1'{c}l" for c in points[i:i + per_text]) for i in range(0, len(points), per_text)]


def trained(vocab_size, seed, ignore_merges):
    """The JSON (as objects) of a byte-level BPE with Llama 3's pre-tokenizer, trained on random words. Some merges are taken out,
    so that there are tokens that only ignore_merges reaches; the added tokens are control tokens, plain ones, and one that is in
    the vocabulary as well."""
    rng = random.Random(seed)
    corpus = [" ".join(rng.choices(WORDS, k=12)) + rng.choice(("\n", "", "\r\n")) for _ in range(2000)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, min_frequency=2,
                                                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    spec = json.loads(tokenizer.to_str())
    spec["pre_tokenizer"] = PRE_TOKENIZERS["llama3"]
    merges = spec["model"]["merges"]
    spec["model"]["merges"] = [merge for merge in merges if rng.random() > 0.1]
    spec["model"]["ignore_merges"] = ignore_merges
    size = len(spec["model"]["vocab"])

    def added(number, content, special):
        return {"id": number, "content": content, "special": special, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False}

    spec["added_tokens"] = [added(size, "<|begin_of_text|>", True), added(size + 1, "<|eot_id|>", True),
                            added(size + 2, "<tool>", False),
                            added(size + 3, "plain words", False), added(spec["model"]["vocab"]["the"], "the", False)]
    spec["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return spec


def oracle_of(spec):
    """The package's tokenizer for such a spec, without its added tokens: encode never recognises them."""
    return Tokenizer.from_str(json.dumps({**spec, "added_tokens": []}))
