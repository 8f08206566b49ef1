#!/usr/bin/env python3
"""The same global batch on 1, 2 and 3 ranks: losses agree, and bit for bit with --deterministic strict; an expert trained beside another
on a group of ranks equals the expert trained alone."""
import json
import sys
import tempfile

from tiny_world import World, metrics


def close(a, b, tolerance):
    return abs(a - b) <= tolerance * max(1, abs(b))


def numbers(values, name=""):
    """All numbers of a JSON object, by their path."""
    if isinstance(values, dict):
        return {path: number for key, value in values.items() for path, number in numbers(value, f"{name}/{key}").items()}
    if isinstance(values, list):
        return numbers(dict(enumerate(values)), name)
    return {name: values} if isinstance(values, (int, float)) else {}


def main():
    with tempfile.TemporaryDirectory() as folder:
        world = World(sys.argv[1], sys.argv[2], folder)
        recipe = world.recipe(steps=20)
        runs = {}
        for ranks in (1, 2, 3):
            runs[ranks] = f"{folder}/fast{ranks}"
            world.train(recipe, runs[ranks], "--stages", "encode,activate", ranks=ranks)
        one = metrics(runs[1], "activate/main")
        assert sorted(one) == list(range(1, 21))
        for ranks in (2, 3):
            other = metrics(runs[ranks], "activate/main")
            assert close(other[1]["loss"], one[1]["loss"], 1e-6), (ranks, other[1]["loss"], one[1]["loss"])
            for step in one:
                assert close(other[step]["loss"], one[step]["loss"], 1e-5), (ranks, step, other[step]["loss"], one[step]["loss"])

        # The encoder is made once and shared, so that what is compared is the LLM's training.
        strict = world.recipe("strict", steps=6, deterministic="strict")
        hashes = set()
        for ranks in (1, 2, 3):
            run = f"{folder}/strict{ranks}"
            world.train(strict, run, "--stages", "encode,activate", ranks=ranks)
            hashes.add(world.values(run, "activate-0-main"))
        assert len(hashes) == 1, f"strict: {len(hashes)} different results on 1, 2 and 3 ranks"

        both, alone = f"{folder}/both", f"{folder}/alone"
        recipe = world.recipe("experts", steps=4)
        world.train(recipe, both, ranks=2)
        world.train(recipe, alone, "--stages", "encode,activate,group", ranks=2)
        world.train(recipe, alone, "--stages", "expert", "--experts", "1")
        assert world.values(both, "expert-1") == world.values(alone, "expert-1"), "an expert differs from itself trained alone"
        assert world.values(both, "expert-0") != world.values(both, "expert-1")

        # Four experts of unequal work on two ranks: each rank has half of it, within 5 %, in tokens.
        four, tokens, work = f"{folder}/four", {}, {0: 0, 1: 0}
        world.train(world.recipe("four", steps=2, expert_steps=12), four, "--set", "group.count=4", "--stages", "encode,activate,group,expert", ranks=2)
        for stage, team in json.load(open(f"{four}/teams.json")).items():
            tokens[stage] = sum(4 * row["tokens_per_s"] / row["rows_per_s"] for row in metrics(four, stage).values())
            work[team["first_rank"]] += tokens[stage]
        assert len(tokens) == 4 and min(tokens.values()) < max(tokens.values()), tokens
        assert max(work.values()) <= 1.05 * sum(work.values()) / 2, (work, tokens)
        print(f"four experts of {', '.join(f'{own:.0f}' for own in tokens.values())} tokens on two ranks: {work[0]:.0f} and {work[1]:.0f}", flush=True)

        # Users are spread over the ranks; what is measured is the same.
        measured = {}
        for ranks in (1, 2, 3):
            world.run("thinkrec_eval", "--run-dir", both, "--json", f"{folder}/eval{ranks}.json", ranks=ranks)
            measured[ranks] = numbers(json.load(open(f"{folder}/eval{ranks}.json"))["models"])
        assert len(measured[1]) > 20 and any("ndcg" in name for name in measured[1]), sorted(measured[1])
        for ranks in (2, 3):
            assert measured[ranks].keys() == measured[1].keys()
            worst = max(abs(measured[ranks][name] - value) for name, value in measured[1].items())
            assert worst <= 1e-12, (ranks, worst)
    print("ranks: passed")


if __name__ == "__main__":
    main()
