"""Tokens, stems, synonyms, METEOR and BLEU-4 against nltk, and ROUGE-L against its formula.

  python3 text_oracle.py DEPS TEXT_SCORES_TOOL [WORDNET]
"""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, TOOL = sys.argv[1], sys.argv[2]
WORDNET = sys.argv[3] if len(sys.argv) > 3 else "/usr/share/wordnet"
oracle.enter(DEPS, torch=False)
if not os.path.exists(os.path.join(WORDNET, "index.sense")):
    print(f"skipped: no WordNet in {WORDNET}; launch/setup.sh installs wordnet-base and wordnet-sense-index")
    sys.exit(oracle.SKIP)

import nltk
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.stem.porter import PorterStemmer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from nltk.translate.meteor_score import meteor_score

PAIRS, BOUND = 1000, 1e-9
failures = []


def check(name, good, detail=""):
    print(f"{name}: {'equal' if good else 'DIFFERENT'} {detail}", flush=True)
    if not good:
        failures.append(name)


def tool(*arguments, lines=()):
    done = subprocess.run([TOOL, *arguments], input="".join(line + "\n" for line in lines), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def reader(folder):
    """nltk's corpus reader on Debian's files: they lack only `lexnames`, whose names no metric uses."""
    corpus = os.path.join(folder, "nltk_data", "corpora", "wordnet")
    os.makedirs(corpus)
    for name in os.listdir(WORDNET):  # copies: nltk follows no link out of its data folders
        shutil.copy(os.path.join(WORDNET, name), corpus)
    with open(os.path.join(corpus, "lexnames"), "w") as file:
        file.writelines(f"{i:02d}\tfile{i}\t1\n" for i in range(45))
    nltk.data.path.append(os.path.join(folder, "nltk_data"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no multilingual WordNet
        return WordNetCorpusReader(nltk.data.FileSystemPathPointer(corpus), None)


def tokens(text):
    return re.findall(r"\w+|[^\w\s]+", text.lower())


def synonyms(wordnet, word):
    return sorted({name for synset in wordnet.synsets(word) for name in synset.lemma_names() if "_" not in name}, key=str.encode)


def inflected(rng, word):
    return rng.choice([word + "s", word + "es", word + "ed", word + "ing", word + "er", word + "ly", re.sub("e$", "", word) + "ing",
                       re.sub("y$", "ies", word), re.sub("y$", "ied", word), word + "ness", word + word[-1:] + "ing"])


def check_tokens():
    """Every code point that Python's Unicode has, between letters and alone. Python alone takes U+001C to U+001F for white space, and
    makes two code points of U+0130."""
    known = [0x1C, 0x1D, 0x1E, 0x1F, 0x130]
    apart = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and unicodedata.category(chr(c)) != "Cn"]
    texts = [f"a{chr(c)}B {chr(c)}." for c in apart]
    ours = tool("tokens", lines=map(json.dumps, texts))
    wrong = [c for c, text, got in zip(apart, texts, ours) if got != tokens(text)]
    check("tokens", wrong == known, f"({len(texts)} code points, but for {[f'U+{c:04X}' for c in wrong][:20]})")


def check_words(wordnet, rng):
    lemmas = sorted(set(wordnet.all_lemma_names()))
    words = rng.sample(lemmas, 6000) + [inflected(rng, word) for word in rng.sample(lemmas, 9000)]
    words += [form for table in wordnet._exception_map.values() for form in table]
    words += ["".join(rng.choice("aeiouyyslztdng") for _ in range(rng.randrange(1, 12))) for _ in range(6000)]
    words += ["ééies", "éied", "éy", "àé", "a", "", "日本語ing", "yyying", "sky", "skies", "dying", "geologi", "theologi"]
    words = [word.lower() for word in words]
    ours, stemmer = tool("words", WORDNET, lines=words), PorterStemmer()
    wrong = [(word, got["stem"], stemmer.stem(word)) for word, got in zip(words, ours) if got["stem"] != stemmer.stem(word)]
    check("stems", not wrong, f"({len(words)} words) {wrong[:5]}")
    wrong = [(word, got["synonyms"][:5]) for word, got in zip(words, ours) if got["synonyms"] != synonyms(wordnet, word)]
    check("synonyms", not wrong, f"({len(words)} words) {wrong[:5]}")


def random_pair(wordnet, rng, common, rare):
    """A reference, and a candidate made of it: words replaced by synonyms and inflections, left out, repeated, put elsewhere."""
    pool = rng.choice([common, common, rare])
    words = [rng.choice(common[:40] if rng.random() < 0.4 else pool) for _ in range(rng.choice([1, 2, 5, 12, 30, 60]))]
    out = []
    for word in words:
        change = rng.random()
        if change < 0.25:
            word = rng.choice(synonyms(wordnet, word) or [word])
        elif change < 0.45:
            word = inflected(rng, word)
        elif change < 0.55:
            continue
        elif change < 0.65:
            word = rng.choice(pool)
        out += [word] * (2 if rng.random() < 0.05 else 1)
    if rng.random() < 0.5 and out:
        a, b = sorted(rng.choices(range(len(out) + 1), k=2))
        out = out[b:] + out[a:b] + out[:a]
    if rng.random() < 0.03:
        out = []
    marks = [" ", " ", " ", " ", ", ", ". ", "-", " — ", "... ", "'s ", "\n", "\u00a0"]
    join = lambda words: "".join(rng.choice([word, word, word.capitalize()]) + rng.choice(marks) for word in words)
    return {"reference": join(words), "candidate": join(out)}


def longest_common(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def rouge_l(reference, candidate):
    common = longest_common(reference, candidate)
    if common == 0:
        return 0.0
    precision, recall = common / len(candidate), common / len(reference)
    return 2 * precision * recall / (precision + recall)


def check_scores(wordnet, rng, folder):
    frequent = [lemma for lemma in wordnet.all_lemma_names() if lemma.isalpha() and len(wordnet._lemma_pos_offset_map[lemma]) >= 3]
    common = ["the", "a", "movie", "user", "likes", "film", "because", "of", "and", "drama", "enjoys", "café", "Über", "über", "naïve"]
    common += rng.sample(sorted(set(frequent)), 400)
    rare = rng.sample(sorted(set(wordnet.all_lemma_names())), 3000)
    pairs = [random_pair(wordnet, rng, common, rare) for _ in range(PAIRS)] + [{"reference": "", "candidate": ""}]
    path = os.path.join(folder, "pairs.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(pair, ensure_ascii=rng.random() < 0.5) + "\n" for pair in pairs)
    report = tool("pairs", path, WORDNET)[0]
    assert report["pairs"] == len(pairs) == len(report["scores"])
    expected = {"meteor": [], "bleu4": [], "rouge_l": []}
    for pair in pairs:
        reference, candidate = tokens(pair["reference"]), tokens(pair["candidate"])
        expected["meteor"].append(meteor_score([reference], candidate, wordnet=wordnet))
        expected["bleu4"].append(sentence_bleu([reference], candidate, smoothing_function=SmoothingFunction().method1))
        expected["rouge_l"].append(rouge_l(reference, candidate))
    for name, values in expected.items():
        differences = [abs(got[name] - value) for got, value in zip(report["scores"], values)]
        mean = sum(values) / len(values)
        worst = max(differences)
        check(name, worst <= BOUND and abs(report["mean"][name] - mean) <= BOUND,
              f"({len(values)} pairs, mean {mean:.4f}, largest difference {worst:.1e}, of pair {differences.index(worst)})")
        assert 0.02 < mean < 0.95, "the pairs are too alike, or too different, to show anything"


def main():
    print(f"nltk {nltk.__version__}")
    rng = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        wordnet = reader(folder)
        check_tokens()
        check_words(wordnet, rng)
        check_scores(wordnet, rng, folder)
    sys.exit(1 if failures else 0)


main()
