#!/usr/bin/env python3
"""Makes a GetMedia body whose sound comes late of another one: late_sound.py BODY OUTPUT MILLISECONDS

Each block of sound stands behind the pictures that are so much later than it, in the same fragment or the next one, as
producers send it whose sound takes longer. Its time stays as it is.
"""

import re
import sys

CLUSTER, TRACKS, SEGMENT, TIMESTAMP = b"\x1f\x43\xb6\x75", b"\x16\x54\xae\x6b", b"\x18\x53\x80\x67", b"\xe7"
PRODUCER_TIMESTAMP = re.compile(rb"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP\x44\x87(?:[\x80-\xff]|[\x40-\x7f].)([0-9.]+)", re.DOTALL)


def number(data, at, with_marker):
    """A variable-size integer and what it ends at; None: unknown."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    if not with_marker:
        value &= (1 << 7 * length) - 1
        value = None if value == (1 << 7 * length) - 1 else value
    return value, at + length


def elements(data):
    """Id, where the element begins, where its data does, and its end. The inside of a segment is read as what follows it."""
    at = 0
    while at < len(data):
        _, behind = number(data, at, True)
        size, begin = number(data, behind, False)
        id = data[at:behind]
        end = begin if id == SEGMENT else begin + size
        yield id, at, begin, end
        at = end


def sound_track(tracks):
    for id, _, begin, end in elements(tracks):
        if id == b"\xae":
            entry = tracks[begin:end]
            values = {id: entry[begin:end] for id, _, begin, end in elements(entry)}
            if values[b"\x83"] == b"\x02":
                return values[b"\xd7"][0]
    return None


def main():
    path, output, late = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(path, "rb") as file:
        body = file.read()
    starts = [round(float(value) * 1000) for value in PRODUCER_TIMESTAMP.findall(body)]
    parts, waiting, sound, fragment = [], [], None, -1
    for id, at, begin, end in elements(body):
        if id == TRACKS:
            sound = sound_track(body[begin:end])
        if id != CLUSTER:
            parts.append(body[at:end])
            continue
        fragment += 1
        cluster, blocks = body[begin:end], []
        for inner, start, data, stop in elements(cluster):
            if inner != b"\xa3":
                blocks.append((None, cluster[start:stop], 0))
                continue
            track, place = number(cluster, data, False)
            time = starts[fragment] + int.from_bytes(cluster[place : place + 2], "big", signed=True)
            block = (time, cluster[start:stop], place - start)
            if track == sound:
                waiting.append(block)
                continue
            # A fragment begins with its keyframe.
            blocks.append(block)
            while waiting and waiting[0][0] + late <= time:
                blocks.append(waiting.pop(0))
        parts.append([starts[fragment], blocks])
    if sound is None or fragment < 1:
        sys.exit(f"{path} is no GetMedia body with sound")
    [part for part in parts if isinstance(part, list)][-1][1].extend(waiting)
    with open(output, "wb") as file:
        for part in parts:
            file.write(part if isinstance(part, bytes) else rendered(*part))


def rendered(start, blocks):
    content = bytearray()
    for time, element, place in blocks:
        if time is not None:
            element = element[:place] + (time - start).to_bytes(2, "big", signed=True) + element[place + 2 :]
        content += element
    return CLUSTER + (1 << 56 | len(content)).to_bytes(8, "big") + content


main()
