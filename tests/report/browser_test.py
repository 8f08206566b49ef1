#!/usr/bin/env python3
"""report.html as a picture, in a headless Chromium: light and dark, wide and narrow. Held to: nothing wider than the page, no text cut off or
written over another, every text readable on its ground, every section drawn.

  browser_test.py PROGRAMS ROOT [PICTURES]      the pictures stay in the folder PICTURES
  browser_test.py --self-test                   pages that are wrong on purpose are noticed
Exit code 77: no Chromium here (launch/setup.sh --browser).
"""
import html
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "app"))

SIZES = {"wide": 1280, "narrow": 390}
SCHEMES = {"dark": 0, "light": 1}
SECTIONS = ("results", "training", "gate", "groups", "time", "scaling", "recipe")

# Runs inside the page and tells its parent what it sees.
MEASURE = r"""
addEventListener('load', () => setTimeout(() => {
  const found = [], shown = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
  const name = e => (e.tagName + '.' + (e.getAttribute('class') || '') + ' "' + e.textContent.trim().slice(0, 40) + '"');
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push('the page is ' + root.scrollWidth + ' wide, the window ' + root.clientWidth);
  const rgb = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
                       return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                        if (c.length === 3 || (c.length === 4 && c[3] > .99)) return c.slice(0, 3); } return [255, 255, 255]; };
  const scrolls = e => { for (; e; e = e.parentElement) if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) return e; };
  let texts = 0;
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !shown(e) || ['SCRIPT', 'STYLE', 'TITLE'].includes(e.tagName)) continue;
    ++texts;
    const svg = e.closest('svg'), style = getComputedStyle(e);
    const ink = rgb(svg ? style.fill : style.color).slice(0, 3), a = light(ink), b = light(ground(svg ? svg.parentElement : e));
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) found.push(name(e) + ': contrast ' + contrast.toFixed(1));
    const box = e.getBoundingClientRect();
    if (!scrolls(e) && (box.left < -1 || box.right > root.clientWidth + 1)) found.push(name(e) + ': beyond the edge of the page');
    if (!svg && e.scrollWidth > e.clientWidth + 1 && style.overflowX === 'hidden') found.push(name(e) + ': cut off');
  }
  for (const svg of document.querySelectorAll('svg')) {
    if (!shown(svg)) continue;
    const frame = svg.getBoundingClientRect(), boxes = [...svg.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
    boxes.forEach(([t, b], i) => {
      if (b.left < frame.left - 2 || b.right > frame.right + 2 || b.top < frame.top - 2 || b.bottom > frame.bottom + 2) found.push(name(t) + ': outside its chart');
      for (const [u, c] of boxes.slice(i + 1))
        if (b.left < c.right - 1 && c.left < b.right - 1 && b.top < c.bottom - 2 && c.top < b.bottom - 2) found.push(name(t) + ' over ' + name(u));
    });
  }
  for (const row of document.querySelectorAll('.lane')) {
    const boxes = [...row.children].map(c => c.getBoundingClientRect());
    for (let i = 1; i < boxes.length; ++i) if (boxes[i].left < boxes[i - 1].right - 1) found.push(name(row) + ': parts over each other');
  }
  parent.postMessage(JSON.stringify({found, texts, height: root.scrollHeight, sections: [...document.querySelectorAll('section')].map(s => s.id),
                                     charts: [...document.querySelectorAll('svg')].filter(shown).length, missing: document.querySelectorAll('.missing').length}), '*');
}, 50));
"""

WRAPPER = """<!doctype html><meta name="color-scheme" content="light dark"><style>body{{margin:0}}iframe{{border:0;display:block}}</style>
<iframe src="page.html" width="{width}" height="{height}"></iframe><pre id="measured" hidden></pre>
<script>addEventListener('message', m => document.getElementById('measured').textContent = m.data)</script>"""


def browse(folder, scheme, width, height, *arguments):
    (folder / "wrapper.html").write_text(WRAPPER.format(width=width, height=height))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", "--virtual-time-budget=3000",
               f"--user-data-dir={folder}/profile", f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", f"--window-size={max(width, 500)},{height}",
               *arguments, f"file://{folder}/wrapper.html"]
    return subprocess.run(command, capture_output=True, text=True, timeout=240).stdout


def pixels(path):
    """(width, height, rows of RGB bytes) of an 8-bit PNG without interlacing, as Chromium writes them."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", data[at + 8:at + 18])
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += size + 12
    assert depth == 8 and color in (2, 6), (depth, color)
    step = 3 if color == 2 else 4
    raw, line, rows = zlib.decompress(packed), bytearray(width * step), []
    for y in range(height):
        kind, new = raw[y * (width * step + 1)], bytearray(raw[y * (width * step + 1) + 1:(y + 1) * (width * step + 1)])
        for x in range(len(new)):
            left, up, corner = (new[x - step] if x >= step else 0), line[x], (line[x - step] if x >= step else 0)
            if kind == 1:
                new[x] = (new[x] + left) & 255
            elif kind == 2:
                new[x] = (new[x] + up) & 255
            elif kind == 3:
                new[x] = (new[x] + (left + up) // 2) & 255
            elif kind == 4:
                guess = left + up - corner
                near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
                new[x] = (new[x] + near) & 255
        line = new
        rows.append(bytes(line))
    return width, height, step, rows


def look(report, pictures):
    """What is wrong with the page in each of the four looks; leaves a picture of each."""
    problems, seen = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        text = report.read_text()
        (folder / "page.html").write_text(text.replace("</body>", f"<script>{MEASURE}</script></body>"))
        for size, width in SIZES.items():
            for scheme in SCHEMES:
                said = re.search(r'<pre id="measured" hidden="">(.*?)</pre>', browse(folder, scheme, width, 900, "--dump-dom"), re.S)
                assert said and said.group(1), f"{size} {scheme}: the page said nothing"
                measured = json.loads(html.unescape(said.group(1)))
                picture = pictures / f"report-{size}-{scheme}.png"
                browse(folder, scheme, width, min(measured["height"], 16000), f"--screenshot={picture}")
                problems += [f"{size} {scheme}: {problem}" for problem in measured["found"]]
                seen[size, scheme] = measured
    return problems, seen


def check_pictures(pictures):
    """Light is light, dark is dark, and neither is empty."""
    for size in SIZES:
        for scheme in SCHEMES:
            path = pictures / f"report-{size}-{scheme}.png"
            _, height, step, rows = pixels(path)
            bright = [sum(row[x:x + 3]) / 3 for row in rows[::8] for x in range(0, SIZES[size] * step, 8 * step)]
            mean = sum(bright) / len(bright)
            assert (mean > 200) if scheme == "light" else (mean < 60), f"{path.name}: mean brightness {mean:.0f}"
            inked = sum(abs(value - mean) > 60 for value in bright) / len(bright)
            assert height > 1000 and inked > .01, f"{path.name}: {100 * inked:.1f} % of it is drawn on"


def make_run(folder):
    """A run with every part: three experts on two ranks, and figures of launch/scaling.sh beside it."""
    from tiny_world import World
    world = World(sys.argv[1], sys.argv[2], str(folder))
    run = folder / "run"
    world.train(world.recipe(steps=40, expert_steps=20), str(run), "--set", "group.count=3", "--set", "gate.temperature=1", ranks=2)
    (run / "scaling.json").write_text(json.dumps({
        "command": "launch/scaling.sh --ranks 1,2,4", "commit": "0123456", "load": .1, "cores": 4, "cpu": "a CPU", "tokens": "computed",
        "global": [{"ranks": n, "rows_per_s": [n], "tokens_per_s": [100 * n * (1 - .02 * n)]} for n in (1, 2, 4)],
        "experts": [{"ranks": n, "seconds": [40 / n + 1], "teams": n} for n in (1, 2, 4)]}))
    world.run("thinkrec_eval", "--run-dir", str(run), "--report")
    return run / "report.html"


def self_test(folder):
    page = "<!doctype html><html><head><style>{style}</style></head><body>{body}</body></html>"
    wrong = {"wider": ("", "<div style='width:3000px'>x</div>", "wide, the window"), "pale": ("p{color:#bbb;background:#fff}", "<p>pale</p>", "contrast"),
             "over": ("", "<svg viewBox='0 0 300 50' width='300'><text x='5' y='20'>one word</text><text x='20' y='22'>another</text></svg>", " over "),
             "outside": ("", "<svg viewBox='0 0 100 50' width='100'><text x='60' y='20'>a long label</text></svg>", "outside its chart"),
             "cut": ("p{width:40px;overflow:hidden;white-space:nowrap}", "<p>cut in the middle</p>", "cut off")}
    for name, (style, body, words) in wrong.items():
        path = folder / f"{name}.html"
        path.write_text(page.format(style=style, body=body))
        problems, _ = look(path, folder)
        assert any(words in problem for problem in problems), (name, problems)
    print("browser: every wrong page is noticed")


def main():
    if not shutil.which("chromium"):
        print("no chromium here: launch/setup.sh --browser installs it")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        if sys.argv[1] == "--self-test":
            return self_test(pathlib.Path(name))
        pictures = pathlib.Path(os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else name)
        pictures.mkdir(parents=True, exist_ok=True)
        problems, seen = look(make_run(pathlib.Path(name)), pictures)
        for measured in seen.values():
            assert tuple(measured["sections"]) == SECTIONS and measured["missing"] == 0, measured
            assert measured["charts"] >= 8 and measured["texts"] > 200, measured
        assert not problems, "\n".join(problems)
        check_pictures(pictures)
    print(f"browser: {len(seen)} looks, {[measured['texts'] for measured in seen.values()]} texts")


if __name__ == "__main__":
    main()
