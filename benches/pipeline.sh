#!/usr/bin/env bash
# kvssrc beside curl, and beside curl with stock GStreamer: wall time and CPU time of reading 500 MB of GetMedia.
#
#     bash benches/pipeline.sh [ROUNDS]
#
# All three read the same body, a real one repeated with fresh fragment numbers and times, from the same emulator over
# loopback, in turns. CPU time is user and system time of the client alone. The body is output_get_media.mkv of
# KVS_CAPTURES or ../shared/captures, or one made with stock GStreamer where that is missing.

source "$(dirname "${BASH_SOURCE[0]}")/../tests/setup.sh"

rounds=${1:-9}
size=500000000

want_build
want_sample
want_tool python3 python3
install_wanted
want_rust
build_release
use_plugin release

make_temporary
emulator=$root/target/release/kvs-emulator

# Sets `once`: a GetMedia body of 10 s.
find_body() {
    once=${KVS_CAPTURES:-$root/../shared/captures}/output_get_media.mkv
    [ -f "$once" ] && return
    say "no captures; making a body with stock GStreamer"
    once=$temporary/once.mkv
    gst-launch-1.0 -q videotestsrc pattern=snow num-buffers=300 ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! \
        x264enc bitrate=2000 speed-preset=veryfast key-int-max=60 ! matroskamux ! filesink location="$temporary/made.mkv"
    start_emulator "$emulator" --stream X="$temporary/made.mkv" --end-at-head
    get_media "$emulator_url" X -o "$once"
    stop_emulators
}

find_body
count=$((size / $(stat -c %s "$once")))
first=1600000000
python3 "$root/tests/repeat_body.py" "$once" "$temporary/body.mkv" "$count" $first
# kvssrc ends where the last fragment begins, so that it need not ask whether more has come.
end=$((first + count * 10 - 2))
start_emulator "$emulator" --stream X="$temporary/body.mkv" --end-at-head
bytes=$(stat -c %s "$temporary/body.mkv")
say "body: $count times $(basename "$once"), $bytes bytes; $rounds rounds; $(nproc) processors"

curl_alone() { get_media "$emulator_url" X -o /dev/null; }
curl_and_gstreamer() { get_media "$emulator_url" X | gst-launch-1.0 -q fdsrc ! matroskademux ! fakesink; }
kvssrc() { gst-launch-1.0 -q kvssrc stream=X start-selector=earliest end-timestamp=$end ! fakesink; }
start_up() { gst-launch-1.0 -q fakesrc num-buffers=1 ! fakesink; }

# A client that leaves something out is no measure: what comes out of it, in bytes.
out=$(gst-launch-1.0 -q kvssrc stream=X start-selector=earliest end-timestamp=$end ! fdsink | wc -c)
[ "$out" -gt $((bytes * 9 / 10)) ] || die "kvssrc brought $out bytes of $bytes"

# measure CLIENT: prints "CLIENT wall cpu" in seconds.
measure() {
    local times
    TIMEFORMAT='%R %U %S'
    times=$({ time "$1" </dev/null >/dev/null 2>"$temporary/errors"; } 2>&1) || die "$1: $(cat "$temporary/errors")"
    awk -v client="$1" '{ printf "%s %.3f %.3f\n", client, $1, $2 + $3 }' <<<"$times"
}

for ((round = 0; round < rounds; round++)); do
    for client in curl_alone kvssrc curl_and_gstreamer start_up; do measure "$client"; done
done >"$temporary/times"

# Minimum, median and maximum of what each client took, and of its ratio to curl in the same round.
awk '
    function summary(values, n,    i, j, swap) {
        for (i = 2; i <= n; i++)
            for (j = i; j > 1 && values[j - 1] > values[j]; j--) {
                swap = values[j]; values[j] = values[j - 1]; values[j - 1] = swap
            }
        return sprintf("%6.3f %6.3f %6.3f", values[1], (values[int((n + 1) / 2)] + values[int(n / 2) + 1]) / 2, values[n])
    }
    { n = ++rounds[$1]; wall[$1, n] = $2; cpu[$1, n] = $3 }
    END {
        printf "%-20s %-22s %-22s %-22s %-22s\n", "min median max of", "wall s", "cpu s", "wall / curl", "cpu / curl"
        split("curl_alone kvssrc curl_and_gstreamer start_up", clients)
        for (c = 1; c in clients; c++) {
            client = clients[c]
            for (i = 1; i <= n; i++) {
                w[i] = wall[client, i]; p[i] = cpu[client, i]
                rw[i] = w[i] / wall["curl_alone", i]; rp[i] = p[i] / cpu["curl_alone", i]
            }
            printf "%-20s %-22s %-22s %-22s %-22s\n", client, summary(w, n), summary(p, n), summary(rw, n), summary(rp, n)
        }
    }
' "$temporary/times"
say "start_up is gst-launch-1.0 with one empty buffer: what a GStreamer process costs before it reads anything"
