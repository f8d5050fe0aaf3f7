#!/usr/bin/env bash
# Four live streams in one picture, each with the time at which it was captured (UTC).
#
#     bash examples/wall.sh STREAM STREAM STREAM STREAM [ELEMENT…]
#
# Shows it, or hands it to the elements behind the names, such as: x264enc ! mp4mux ! filesink location=wall.mp4
# Region and credentials are found as the AWS tools find them. The times need GStreamer 1.22. Ctrl-C ends it.

set -euo pipefail

[ $# -ge 4 ] || {
    sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2
    exit 2
}
streams=("${@:1:4}")
sink=("${@:5}")
[ ${#sink[@]} -gt 0 ] || sink=(autovideosink)

# Of one camera's picture.
width=640 height=360

# A camera that is silent keeps its last picture, and does not hold up the others.
pipeline=(
    compositor name=wall background=black ignore-inactive-pads=true
    sink_0::xpos=0 sink_0::ypos=0 sink_1::xpos=$width sink_1::ypos=0
    sink_2::xpos=0 sink_2::ypos=$height sink_3::xpos=$width sink_3::ypos=$height
    ! video/x-raw,width=$((2 * width)),height=$((2 * height)),framerate=25/1 ! videoconvert ! "${sink[@]}"
)
for number in 0 1 2 3; do
    pipeline+=(
        kvssrc stream="${streams[number]}" start-selector=now is-live=true ! decodebin3
        ! videoconvert ! videoscale ! "video/x-raw,width=$width,height=$height,pixel-aspect-ratio=1/1"
        ! timeoverlay time-mode=reference-timestamp reference-timestamp-caps=timestamp/x-unix
        show-times-as-dates=true datetime-epoch=1970-01-01T00:00:00Z "datetime-format=%F %T UTC"
        "text=${streams[number]} " shaded-background=true font-desc="Sans 18"
        ! queue ! wall.sink_$number
    )
done
exec gst-launch-1.0 -e "${pipeline[@]}"
