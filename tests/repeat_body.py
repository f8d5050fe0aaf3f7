#!/usr/bin/env python3
"""Makes a long GetMedia body of a short one: repeat_body.py BODY OUTPUT COUNT [FIRST_PRODUCER_TIMESTAMP]

Each repetition gets fresh fragment numbers and continuation tokens, and timestamps that go on where those before it end,
so that the result is what the service would send of a stream COUNT times as long. FIRST_PRODUCER_TIMESTAMP, in seconds
since 1970, is that of the first fragment; without it, the body's own stays.
"""

import re
import sys

# A SimpleTag's TagName, and the TagString (0x4487, a size of one to four bytes) behind it.
TAG = re.compile(
    rb"AWS_KINESISVIDEO_(FRAGMENT_NUMBER|CONTINUATION_TOKEN|PRODUCER_TIMESTAMP|SERVER_TIMESTAMP)"
    rb"\x44\x87(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f]...)([0-9.]+)",
    re.DOTALL,
)


def main():
    path, output, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(path, "rb") as file:
        body = file.read()
    tags = [(match[1], match[2], match.start(2)) for match in TAG.finditer(body)]
    numbers = [int(value) for name, value, _ in tags if name == b"FRAGMENT_NUMBER"]
    times = [float(value) for name, value, _ in tags if name == b"PRODUCER_TIMESTAMP"]
    if len(numbers) < 2 or len(numbers) != len(times):
        sys.exit(f"{path} is no GetMedia body of two fragments or more")
    step = max(numbers) - min(numbers) + 1
    period = (times[-1] - times[0]) * len(times) / (len(times) - 1)
    shift = float(sys.argv[4]) - times[0] if len(sys.argv) > 4 else 0.0
    with open(output, "wb") as file:
        for repetition in range(count):
            copy = bytearray(body)
            for name, value, position in tags:
                if name.endswith(b"TIMESTAMP"):
                    fresh = b"%.3f" % (float(value) + shift + repetition * period)
                else:
                    fresh = b"%0*d" % (len(value), int(value) + repetition * step)
                if len(fresh) != len(value):
                    sys.exit(f"{value} has no room for {fresh}")
                copy[position : position + len(value)] = fresh
            file.write(copy)


main()
