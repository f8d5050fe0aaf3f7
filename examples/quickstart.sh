#!/usr/bin/env bash
# From nothing to a film: builds the plugin, and reads a stream of a local Kinesis Video into an MP4.
#
#     bash examples/quickstart.sh [OUTPUT.mp4]
#
# Installs what is missing (Debian and Ubuntu: by apt; elsewhere it says what to install), builds plugin and emulator in
# release mode, makes a 10 s sample, serves it with the emulator and records it through kvssrc. Needs no AWS account.

source "$(dirname "${BASH_SOURCE[0]}")/../tests/setup.sh"

output=$(realpath -m -- "${1:-$root/target/quickstart/quickstart.mp4}")

want_build
want_sample
install_wanted
want_rust

build_release
use_plugin release

make_sample
start_emulator "$root/target/release/kvs-emulator" --stream demo="$sample" --end-at-head

# Up to now: without an end, kvssrc would wait for what the camera sends next.
pipeline=(
    kvssrc stream=demo start-selector=earliest end-timestamp="$(date +%s.%N)" ! matroskademux name=d
    mp4mux name=m ! filesink location="$output"
    d.video_0 ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! h264parse ! m.
    d.audio_0 ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! aacparse ! m.
)
mkdir -p "$(dirname "$output")"
rm -f "$output"
say "gst-launch-1.0 ${pipeline[*]}"
# Takes less than a second; one that hangs is a failure too.
timeout --foreground 120 gst-launch-1.0 "${pipeline[@]}" </dev/null || die "the pipeline failed"
stop_emulators

say "gst-discoverer-1.0 $output"
found=$(gst-discoverer-1.0 "$output" </dev/null) || die "gst-discoverer-1.0 does not understand $output"
printf '%s\n' "$found"
grep -q 'video.*H\.264' <<<"$found" || die "$output has no H.264 track"
grep -q 'audio.*AAC' <<<"$found" || die "$output has no AAC track"
say "done: $output"
