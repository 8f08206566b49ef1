"""A tiny model, data set and recipe for tests of whole programs, made with the standard library alone and the same every time."""
import gzip
import json
import os
import random
import struct
import subprocess

LAYERS, WIDTH, HEADS, KV_HEADS, FFN = 3, 32, 4, 2, 48
PATIENCE = float(os.environ.get("THINKREC_PATIENCE", "1"))  # times as long as a program may take; more under sanitizers


def byte_alphabet():
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters, extra = {}, 0
    for b in range(256):
        if b in printable:
            letters[b] = chr(b)
        else:
            letters[b] = chr(256 + extra)
            extra += 1
    return letters


# Each of these words is one token: prompts take a quarter of the tokens that they would take in letters.
WORDS = """Yes No # Question A user has have given gave high ratings to the following items these Additionally we information about user's preferences
 encoded in feature with Based on of and enjoyment each item historical sequence construct a persona reevaluate whether would enjoy titled Please begin
 your analysis answer or Answer none evaluation description Film Drama War tag Using all available make prediction Now considers Will it is""".split()


def word_merges(letters):
    """Merges of byte-pair encoding after which each of WORDS, at the start and after a space, is one token; pairs in the order of their rank."""
    rank = {}
    for word in [*WORDS, *(" " + word for word in WORDS)]:
        pieces = [letters[b] for b in word.encode()]
        while len(pieces) > 1:
            pairs = list(zip(pieces, pieces[1:]))
            best = min(pairs, key=lambda pair: rank.get(pair, len(rank)))  # the first pair where none is known
            rank.setdefault(best, len(rank))
            at = pairs.index(best)
            pieces[at:at + 2] = ["".join(best)]
    return list(rank)


def write_tokenizer(folder):
    letters = byte_alphabet()
    vocab = {letters[b]: b for b in range(256)}
    merges = []
    for left, right in word_merges(letters):
        merges.append(f"{left} {right}")
        vocab[left + right] = len(vocab)
    end = len(vocab)
    with open(os.path.join(folder, "tokenizer.json"), "w") as out:
        json.dump({"version": "1.0", "added_tokens": [{"id": end, "content": "<|im_end|>", "special": True}], "normalizer": None,
                   "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
                   "model": {"type": "BPE", "vocab": vocab, "merges": merges}}, out)
    return end + 1


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name in sorted(tensors):
        shape, values = tensors[name]
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def write_model(folder):
    os.makedirs(folder, exist_ok=True)
    vocab = write_tokenizer(folder)
    rng = random.Random(7)
    head = WIDTH // HEADS
    tensors = {}

    def matrix(name, rows, columns, sd):
        tensors[name] = ([rows, columns], [rng.gauss(0, sd) for _ in range(rows * columns)])

    def ones(name):
        tensors[name] = ([WIDTH], [1.0] * WIDTH)

    matrix("model.embed_tokens.weight", vocab, WIDTH, 0.15)  # logits of about 1
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        ones(p + "input_layernorm.weight")
        ones(p + "post_attention_layernorm.weight")
        matrix(p + "self_attn.q_proj.weight", HEADS * head, WIDTH, 0.18)
        matrix(p + "self_attn.k_proj.weight", KV_HEADS * head, WIDTH, 0.18)
        matrix(p + "self_attn.v_proj.weight", KV_HEADS * head, WIDTH, 0.18)
        matrix(p + "self_attn.o_proj.weight", WIDTH, HEADS * head, 0.18)
        matrix(p + "mlp.gate_proj.weight", FFN, WIDTH, 0.18)
        matrix(p + "mlp.up_proj.weight", FFN, WIDTH, 0.18)
        matrix(p + "mlp.down_proj.weight", WIDTH, FFN, 0.15)
    ones("model.norm.weight")
    write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump({"model_type": "llama", "vocab_size": vocab, "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
                   "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "intermediate_size": FFN, "rms_norm_eps": 1e-5,
                   "rope_theta": 10000.0, "max_position_embeddings": 2048, "tie_word_embeddings": True, "hidden_act": "silu"}, out)


def write_ratings(folder, users=24, items=30, rows=900):
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(11)
    with open(os.path.join(folder, "items.csv"), "w") as out:
        out.write("item,title,keywords\n")
        for i in range(items):
            out.write(f'i{i},"Film {i}","{"Drama" if i % 2 else "War"}, tag{i % 5}"\n')
    taste = [[rng.gauss(0, 1) for _ in range(2)] for _ in range(users)]
    kind = [[rng.gauss(0, 1) for _ in range(2)] for _ in range(items)]
    with open(os.path.join(folder, "interactions.csv"), "w") as out:
        out.write("user,item,rating,timestamp\n")
        for t in range(rows):
            u, i = rng.randrange(users), rng.randrange(items)
            score = 3.5 + sum(a * b for a, b in zip(taste[u], kind[i])) + rng.gauss(0, 0.5)
            out.write(f"u{u},i{i},{max(1, min(5, round(score)))},{1000 + t}\n")


def write_yelp(folder, users=30, items=30, rows=2400):
    """Reviews and businesses as Yelp gives them out."""
    os.makedirs(folder)
    rng = random.Random(3)
    with open(os.path.join(folder, "yelp_academic_dataset_business.json"), "w") as out:
        for i in range(items):
            out.write(json.dumps({"business_id": f"b{i}", "name": f"Caf\u00e9 {i}", "city": "Town", "categories": "Food, Tea" if i % 2 else None}) + "\n")
    with open(os.path.join(folder, "yelp_academic_dataset_review.json"), "w") as out:
        for t in range(rows):
            user, item = rng.randrange(users), rng.randrange(items)
            stars = max(1, min(5, 3 + (user + item) % 2 + rng.randrange(-1, 3)))
            date = f"{2010 + 12 * t // rows:04}-{1 + t % 12:02}-{1 + t % 28:02} 10:00:{t % 60:02}"
            out.write(json.dumps({"review_id": f"r{t}", "user_id": f"u{user}", "business_id": f"b{item}", "stars": stars, "date": date}) + "\n")


def write_book(folder, users=30, items=30, rows=2400):
    """Reviews and metadata as Amazon's 2018 release has them."""
    os.makedirs(folder)
    rng = random.Random(4)
    with gzip.open(os.path.join(folder, "meta_Books.json.gz"), "wt") as out:
        for i in range(items):
            out.write(json.dumps({"asin": f"{i:010}", "title": f"Book &amp; {i}", "category": ["Books", "Tea" if i % 2 else "Travel"],
                                  "brand": "Visit Amazon's Jane Doe Page", "description": ["On tea."]}) + "\n")
    with open(os.path.join(folder, "Books.json"), "w") as out:
        for t in range(rows):
            user, item = rng.randrange(users), rng.randrange(items)
            stars = 5.0 if rng.random() < .25 + .5 * ((user + item) % 2) else 3.0
            out.write(json.dumps({"reviewerID": f"A{user}", "asin": f"{item:010}", "overall": stars,
                                  "unixReviewTime": 1483228800 + t * 365 * 86400 // rows}) + "\n")


RECIPE = """
run: {{seed: 5, threads: 1, micro_tokens: 200, checkpoint_every: 2, deterministic: {deterministic}}}
data: {{path: {folder}/data.h5}}
model: {{path: {folder}/model}}
encoder: {{width: 8, blocks: 1, max_length: 8, batch: 256, max_epochs: 3, patience: 3}}
prompt: {{history: 3, max_tokens: 240}}
lora: {{rank: 4, alpha: 8}}
activate:
  phases:
    - {{name: main, template: thinkrec, train: both, steps: {steps}, batch: 6, learning_rate: 5e-3, warmup: 2, validate_every: 4}}
valid: {{rows: 24, rows_per_user: 3}}
group: {{count: 2}}
expert: {{layers: 2, steps: {expert_steps}, batch: 4, learning_rate: 5e-3, warmup: 1, validate_every: 0}}
evaluate: {{rows: 60, rows_per_user: 4, bootstrap: 50}}
"""


class World:
    """The programs of a build and a folder with model, data set and recipes."""

    def __init__(self, programs, source, folder):
        self.programs, self.source, self.folder = programs, source, folder
        write_model(os.path.join(folder, "model"))
        write_ratings(os.path.join(folder, "raw"))
        self.run("thinkrec_prepare", "--format", "ratings", "--input", f"{folder}/raw", "--output", f"{folder}/data.h5")
        self.run("thinkrec_synthesize", "reasons", "--data", f"{folder}/data.h5", "--model", f"{folder}/model", "--rows", "0")

    def recipe(self, name="recipe", steps=8, expert_steps=4, deterministic="fast"):
        path = os.path.join(self.folder, f"{name}.yaml")
        with open(path, "w") as out:
            out.write(RECIPE.format(folder=self.folder, steps=steps, expert_steps=expert_steps, deterministic=deterministic))
        return path

    def command(self, program, *arguments, ranks=0):
        path = os.path.join(self.programs, program)
        launcher = [os.path.join(self.source, "launch", "run.sh"), "--ranks", str(ranks)] if ranks else []
        return launcher + [path, *arguments]

    def run(self, program, *arguments, ranks=0, code=0, timeout=240, **more):
        """Runs a program to its end and holds it to the exit code; gives the finished process with its output as text."""
        done = subprocess.run(self.command(program, *arguments, ranks=ranks), capture_output=True, text=True, errors="replace", timeout=PATIENCE * timeout, **more)
        assert done.returncode == code, f"{program} {' '.join(arguments)}: exit code {done.returncode}, not {code}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done

    def train(self, recipe, run_dir, *arguments, ranks=0, code=0):
        return self.run("thinkrec_train", "--config", recipe, "--run-dir", run_dir, *arguments, ranks=ranks, code=code)

    def values(self, run_dir, stage):
        """Hash over all tensors of the newest checkpoint of a stage."""
        folder = os.path.join(run_dir, "checkpoints", stage)
        step = max(int(name[5:]) for name in os.listdir(folder) if name.startswith("step-") and not name.endswith(".tmp"))
        out = self.run("thinkrec_inspect", os.path.join(folder, f"step-{step}", "state.h5")).stdout
        return next(line.split()[1] for line in out.splitlines() if line.strip().startswith("values "))


def ranks_of(launcher):
    """Process ids of the trainers below a process."""
    found, todo = [], [launcher]
    while todo:
        pid = todo.pop()
        try:
            todo += [int(child) for child in open(f"/proc/{pid}/task/{pid}/children").read().split()]
            if open(f"/proc/{pid}/comm").read().startswith("thinkrec_train"):
                found.append(pid)
        except OSError:
            pass  # gone meanwhile
    return found


def metrics(run_dir, stage):
    """Lines of metrics.jsonl of a stage that hold a loss, by step; a step must be there once."""
    rows = {}
    with open(os.path.join(run_dir, "metrics.jsonl")) as lines:
        for line in lines:
            row = json.loads(line)
            if row["stage"] == stage and "loss" in row:
                assert row["step"] not in rows, f"{stage}: step {row['step']} is there twice"
                rows[row["step"]] = row
    return rows


def losses(run_dir, stage):
    """Loss of each step of a stage."""
    return {step: row["loss"] for step, row in metrics(run_dir, stage).items()}
