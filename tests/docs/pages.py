"""The pages of the documentation: their commands and their code spans."""
import pathlib
import re

GENERATED = "options.md"  # by launch/docs.sh, from the option tables


def pages(root):
    root = pathlib.Path(root)
    found = [root / "README.md", root / "CONTRIBUTING.md"] + sorted(root.glob("docs/**/*.md"))
    return [page for page in found if page.name != GENERATED]


def blocks(text, language):
    """Fenced blocks of a language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def commands(text):
    """Commands of the `sh` blocks, one each: continued lines joined, comments and alignment gone."""
    found = []
    for block in blocks(text, "sh"):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            line = re.sub(r"\s{2,}", " ", re.sub(r"\s+#\s.*$", "", line)).strip()
            if line and not line.startswith("#"):
                found.append(line)
    return found


def spans(text):
    """Code spans outside fenced blocks, each on one line."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside)]
