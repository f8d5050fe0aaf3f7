#!/usr/bin/env python3
"""Runs every command of README.md as it stands there, and holds its table of properties against the plugin.

To be run in an empty folder by tests/run.sh, which has set GST_PLUGIN_PATH, AWS keys, and the URLs of two emulators with
a stream X: a camera (LIVE_ENDPOINT_URL), and a recording around the minute that README.md fetches (STORED_ENDPOINT_URL).
Two things differ from a user's machine: players and autovideosink show on fakevideosink, since there need not be a
screen, and a pipeline that has no end of its own is ended once it has brought enough, as a user would with Ctrl-C.
"""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

# Commands that are steps of tests/run.sh of their own, in full.
OTHER_STEPS = {
    "bash examples/quickstart.sh": "quickstart",
    "bash tests/run.sh": "this run itself",
    "meson setup build && meson install -C build": "meson install",
}
# How many buffers its sink has shown or written once a pipeline that goes on for ever has brought enough.
ENOUGH_BUFFERS = 100
# Pictures in the file of a pipeline that was interrupted, and of one that fetches a stored minute.
SOME_PICTURES = 20
MINUTE = range(60 * 30, 62 * 30 + 1)
PATIENCE = 60  # seconds
# How far two pictures of the streams are apart, in seconds, of which the muxers' ticks may take or add a little.
STEP = (0.025, 0.042)
# Programs that read what is stored or listed, and what they say where all went well.
PLAYERS = {"gst-device-monitor-1.0": "gst-launch-1.0 kvssrc stream=X", "gst-play-1.0": "Reached end of play list", "gst-discoverer-1.0": "H.264"}
LOG = "sink.log"
INHERITED = {"blocksize", "do-timestamp", "name", "num-buffers", "parent", "typefind", "automatic-eos"}


def main():
    path = pathlib.Path(sys.argv[1])
    readme = path.read_text(encoding="utf-8")
    check_table(readme)
    least = re.search(r'^rust-version = "(.*)"$', (path.parent / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    for file in (path, path.parent / "meson.build"):
        expect(least in file.read_text(encoding="utf-8"), f"{file.name} does not say that Rust {least} is needed")
    commands = fenced_commands(readme)
    for program in ("gst-launch-1.0", "bash", "meson", "cargo"):
        stray = [code for code in re.findall(r"(?<!`)`([^`\n]+)`", without_fences(readme)) if code.startswith(program + " ")]
        expect(not stray, f"commands outside of the fenced blocks, where nothing runs them: {stray}")
    expect(any(command.startswith("gst-launch-1.0 ") for command in commands), "README.md has no pipeline")
    for command in commands:
        if command in OTHER_STEPS:
            print(f"$ {command}\n  has a step of its own: {OTHER_STEPS[command]}", flush=True)
        else:
            run(command)


def fenced_commands(readme):
    """The commands of the blocks marked sh, continued lines joined."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    expect(all(language == "sh" for language, _ in blocks), "a fenced block that is not marked sh")
    text = "".join(block for _, block in blocks).replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [re.sub(r"\s+", " ", line) for line in lines if line and not line.startswith("#")]


def without_fences(readme):
    return re.sub(r"^```.*?^```$", "", readme, flags=re.MULTILINE | re.DOTALL)


def run(command):
    print(f"$ {command}", flush=True)
    words = shlex.split(command)
    if words[0] in PLAYERS:
        play(words)
        return
    expect(words[0] == "gst-launch-1.0", f"this test does not know how to judge: {command}")
    stored = any(word.startswith("end-timestamp=") for word in words)
    files = [word.removeprefix("location=") for word in words if word.startswith("location=")]
    environment = dict(os.environ, GST_PLUGIN_FEATURE_RANK="fakevideosink:MAX", GST_DEBUG="basesink:6")
    environment.update(GST_DEBUG_FILE=LOG, GST_DEBUG_NO_COLOR="1")
    environment["AWS_ENDPOINT_URL"] = environment["STORED_ENDPOINT_URL" if stored else "LIVE_ENDPOINT_URL"]
    with subprocess.Popen(words, env=environment) as process:
        try:
            if not stored:
                wait_for_enough(process)
                process.send_signal(signal.SIGINT)
            status = process.wait(PATIENCE)
        finally:
            process.kill()
    expect(status == 0, f"status {status}")
    expect(buffers() >= ENOUGH_BUFFERS, "it ended before it brought anything worth speaking of")
    os.remove(LOG)
    for file in files:
        pictures = decoded(file)
        expect(pictures in MINUTE if stored else pictures >= SOME_PICTURES, f"{pictures} pictures")


def play(words):
    """A program that is no pipeline of its own, and ends by itself."""
    environment = dict(os.environ, AWS_ENDPOINT_URL=os.environ["STORED_ENDPOINT_URL"])
    sinks = ["--videosink=fakevideosink", "--audiosink=fakeaudiosink"] if words[0] == "gst-play-1.0" else []
    result = subprocess.run(
        [*words, *sinks], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False
    )
    expect(result.returncode == 0 and "ERROR" not in result.stdout, f"{result.stdout}\n{result.stderr}")
    expect(PLAYERS[words[0]] in result.stdout, f"{result.stdout}\n{result.stderr}")


def wait_for_enough(process):
    deadline = time.monotonic() + PATIENCE
    while buffers() < ENOUGH_BUFFERS:
        expect(process.poll() is None, f"it ended with status {process.returncode} before anyone asked it to")
        expect(time.monotonic() < deadline, f"nothing worth speaking of in {PATIENCE} s")
        time.sleep(0.05)  # between two looks at what the pipeline has done


def buffers():
    """What the sink has taken so far, by its own debug log."""
    if not os.path.exists(LOG):
        return 0
    with open(LOG, encoding="utf-8", errors="replace") as file:
        return sum("rendering object" in line for line in file)


def decoded(file):
    """Decodes all of a file, takes no complaint for an answer, and counts the pictures."""
    probe = ["ffprobe", "-v", "warning", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames"]
    result = subprocess.run([*probe, "-of", "csv=p=0", file], capture_output=True, text=True, timeout=PATIENCE, check=False)
    expect(result.returncode == 0 and not result.stderr, f"ffprobe on {file}: {result.stderr}")
    tracks = dict(line.split(",")[:2] for line in result.stdout.split())
    print(f"  {file}: frames by codec: {tracks}", flush=True)
    expect_even_steps(file)
    return int(tracks.get("h264", 0))


def expect_even_steps(file):
    """Pictures are as far apart as they were, but where a recording begins again, or ends before all have come."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time,dts_time", "-of", "json", file]
    result = subprocess.run(probe, capture_output=True, text=True, timeout=PATIENCE, check=True)
    packets = json.loads(result.stdout)["packets"]
    shown = sorted(float(packet["pts_time"]) for packet in packets)
    steps = [later - earlier for earlier, later in zip(shown, shown[1:])]
    odd = [step for step in steps if not STEP[0] <= step <= STEP[1]]
    expect(len(odd) <= 4 + len(steps) // 100, f"{file}: of {len(steps)} steps between pictures these are odd: {odd[:20]}")
    decoded = [float(packet["dts_time"]) for packet in packets if "dts_time" in packet]
    expect(decoded == sorted(decoded), f"{file}: decoding times go back")


def check_table(readme):
    """The table of properties against what gst-inspect-1.0 says of them."""
    inspected = subprocess.run(["gst-inspect-1.0", "kvssrc"], capture_output=True, text=True, check=True).stdout
    properties = {}
    for part in re.split(r"^  (?=[a-z-]+ *: )", inspected.split("Element Properties:")[1], flags=re.MULTILINE)[1:]:
        name = part.split(":")[0].strip()
        if name in INHERITED:
            continue
        found = re.search(r"^ +(String|Enum|Boolean|Integer|Unsigned Integer|[A-Z]\w*)\b.*Default: (.*)$", part, re.MULTILINE)
        expect(found or "Boxed pointer of type" in part or "Caps (NULL)" in part, f"gst-inspect-1.0 gives no type of {name}")
        kind, default = found.groups() if found else ("boxed", "null")
        # Of how many bits a number is, is no matter for a reader.
        kind = "integer" if re.match(r"(Unsigned|Integer)", kind) else kind
        default = re.sub(r"\s*Write only$", "", default).strip()
        nick = re.search(r'"(.*)"', default)
        default = nick.group(1) if nick else default
        properties[name] = (kind.lower(), "none" if default == "null" else default, "Write only" in part)
        for value in re.findall(r"^ +\(\d+\): ([a-z-]+) ", part, re.MULTILINE):
            expect(f"`{value}`" in readme, f"README.md does not say what {name}={value} is")

    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+)( \(write-only\))? \| `?([^`|]*?)`? \| (.+) \|$", readme, re.MULTILINE)
    table = {name: (kind, default, bool(secret)) for name, kind, secret, default, _ in rows}
    block = re.search(r"^\| name \| type \|.*\n(?:\|.*\n)+", readme, re.MULTILINE)
    expect(block and block.group(0).count("\n") == len(rows) + 2, "the table of properties is interrupted")
    expect(table == properties, f"the table of properties differs from gst-inspect-1.0 kvssrc: {table} and {properties}")
    print(f"the table of properties: all {len(table)} are there", flush=True)


def expect(condition, reason):
    if not condition:
        sys.exit(f"readme.py: FAILED: {reason}")


if __name__ == "__main__":
    main()
