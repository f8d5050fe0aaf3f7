#!/usr/bin/env python3
"""Each decoded frame of a stream with the time at which it was captured and the fragment that it came in.

    python3 examples/frames.py X start-timestamp=2026-01-05T10:00:00Z end-timestamp=2026-01-05T10:01:00Z

Behind the stream's name stand properties of kvssrc. Without any it follows the camera. `frames.rs` does the same.
Needs PyGObject and gst-python; on Debian and Ubuntu: apt install python3-gi python3-gst-1.0
"""

import datetime
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401 (GstApp gives appsink its methods)


def main(stream, *properties):
    Gst.init(None)
    # The sink holds four frames at most: a slow model holds the source back, and nothing is lost.
    pipeline = Gst.parse_launch(
        "kvssrc name=source ! decodebin3 ! videoconvert ! video/x-raw,format=RGB ! "
        "appsink name=frames sync=false max-buffers=4"
    )
    source = pipeline.get_by_name("source")
    source.set_property("stream", stream)
    for argument in properties:
        name, _, value = argument.partition("=")
        if source.find_property(name) is None:
            sys.exit(f"kvssrc has no property {name}")
        Gst.util_set_object_arg(source, name, value)

    # A source that cannot start tells why on the bus.
    pipeline.set_state(Gst.State.PLAYING)
    try:
        read(pipeline, pipeline.get_by_name("frames"))
    finally:
        pipeline.set_state(Gst.State.NULL)


def read(pipeline, sink):
    """Takes frames until the stream ends."""
    bus = pipeline.get_bus()
    while True:
        sample = sink.try_pull_sample(200 * Gst.MSECOND)
        if sample:
            show(sample)
            continue
        message = bus.pop_filtered(Gst.MessageType.ERROR)
        if message:
            error, _ = message.parse_error()
            sys.exit(error.message)
        if sink.is_eos():
            return


def show(sample):
    """Hands the pixels of a frame on, with what is known of it."""
    frame = sample.get_buffer()
    form = sample.get_caps().get_structure(0)
    captured = frame.get_reference_timestamp_meta(Gst.Caps.from_string("timestamp/x-unix"))
    meta = frame.get_custom_meta("GstKvsFragmentMeta")
    fragment = meta.get_structure().get_string("fragment-number") if meta else None
    pixels = frame.extract_dup(0, frame.get_size())
    print(
        rfc3339(captured.timestamp) if captured else "-",
        "fragment",
        fragment or "-",
        f"{form.get_value('width')}x{form.get_value('height')}",
        infer(pixels),
    )


def infer(pixels):
    """The model's place. Pixels are rows of red, green and blue; each row is filled up to a multiple of 4 bytes."""
    return f"brightness {sum(pixels) // max(len(pixels), 1)}"


def rfc3339(nanoseconds):
    time = datetime.datetime.fromtimestamp(nanoseconds // 10**9, datetime.timezone.utc)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000 % 10**6:06}Z"


if len(sys.argv) < 2:
    sys.exit("usage: frames.py STREAM [PROPERTY=VALUE…]")
main(*sys.argv[1:])
