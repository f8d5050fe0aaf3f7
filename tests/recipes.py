#!/usr/bin/env python3
"""Runs every command of docs/recipes.md that stock Debian can run, and looks at what it leaves.

To be run as tests/readme.py is, in another empty folder. A block marked text is one that needs more.
"""

import glob
import os
import re
import shlex
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import readme  # noqa: E402

# What each recipe leaves, by a word of its command, and the pictures that are in it at least; None: nothing to keep.
LEAVES = {
    "location=part-%05d.mp4": ("part-*.mp4", readme.SOME_PICTURES),
    "location=both-%05d.mp4": ("both-*.mp4", readme.SOME_PICTURES),
    "hlssink2": ("segment*.ts", readme.SOME_PICTURES),
    "multifilesink": ("thumbnail-*.jpg", 1),
    "udpsink": None,
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    readme.expect({language for language, _ in blocks} == {"sh", "text"}, "a fenced block that is neither sh nor text")
    commands = readme.fenced_commands("".join(f"```sh\n{block}```\n" for language, block in blocks if language == "sh"))
    readme.expect(len(commands) == len(LEAVES), f"{len(commands)} recipes, of which {len(LEAVES)} are known")
    for command in commands:
        run(command)


def run(command):
    print(f"$ {command}", flush=True)
    words = shlex.split(command)
    known = [leaves for word, leaves in LEAVES.items() if word in words]
    readme.expect(len(known) == 1, "this test does not know what the recipe leaves")
    stored = any(word.startswith("end-timestamp=") for word in words)
    environment = dict(os.environ, GST_DEBUG="basesink:6", GST_DEBUG_FILE=readme.LOG, GST_DEBUG_NO_COLOR="1")
    environment["AWS_ENDPOINT_URL"] = environment["STORED_ENDPOINT_URL" if stored else "LIVE_ENDPOINT_URL"]
    with subprocess.Popen(words, env=environment) as process:
        try:
            if not stored:
                readme.wait_for_enough(process)
                process.send_signal(signal.SIGINT)
            status = process.wait(readme.PATIENCE)
        finally:
            process.kill()
    # Without -e, a pipeline that is interrupted ends at once, and gst-launch-1.0 says so by its status.
    readme.expect(status == 0 or (not stored and "-e" not in words), f"status {status}")
    os.remove(readme.LOG)
    if known[0] is None:
        return
    pattern, least = known[0]
    files = sorted(glob.glob(pattern))
    readme.expect(files, f"nothing of the name {pattern}")
    pictures = sum(count(file) for file in files)
    print(f"  {len(files)} files, {pictures} pictures", flush=True)
    readme.expect(pictures >= least, f"{pictures} pictures")


def count(file):
    """Decodes all pictures of a file, and takes no complaint for an answer."""
    probe = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames"]
    result = subprocess.run([*probe, "-of", "csv=p=0", file], capture_output=True, text=True, timeout=60, check=False)
    readme.expect(result.returncode == 0 and not result.stderr, f"ffprobe on {file}: {result.stderr}")
    if not file.endswith(".jpg"):
        readme.expect_even_steps(file)
    found = re.findall(r"\d+", result.stdout)
    return int(found[0]) if found else 0


if __name__ == "__main__":
    main()
