#!/usr/bin/env bash
# Sets up what is missing, then checks everything: formatting, lints, build, tests, installation, quickstart, README.
#
#     bash tests/run.sh
#
# A step that fails does not hide the others; the last line counts them.

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$root"

make_temporary

passed=0 failed=()

# check NAME COMMAND…: runs a step in a subshell of its own, says how it went and leaves its exit status in `status`.
# Never to be called as a condition: a step would then go on after a command that failed.
check() {
    local name=$1 begin=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    set +e
    (
        set -e
        "$@"
    ) </dev/null
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        printf '== %s: passed in %s s\n' "$name" $((SECONDS - begin))
    else
        failed+=("$name")
        printf '== %s: FAILED with status %s after %s s\n' "$name" $status $((SECONDS - begin)) >&2
    fi
}

finish() {
    printf '\n'
    [ ${#failed[@]} -eq 0 ] || say "failed: $(printf '%s; ' "${failed[@]}" | sed 's/; $//')"
    say "$passed passed, ${#failed[@]} failed"
    [ ${#failed[@]} -eq 0 ] || exit 1
    exit 0
}

# ---- The steps -----------------------------------------------------------------------------------------------------

set_up() {
    want_build
    want_sample
    want_module gstreamer-app-1.0 libgstreamer-plugins-base1.0-dev
    want_module gstreamer-video-1.0 libgstreamer-plugins-base1.0-dev
    want_tool python3 python3
    want_python_module venv python3-venv
    want_python_module ensurepip python3-venv
    want_gi_library Gst python3-gi
    want_gi_library Gst python3-gst-1.0
    want_gi_library GstApp gir1.2-gst-plugins-base-1.0
    want_tool meson meson
    want_tool ninja ninja-build
    want_tool mkvinfo mkvtoolnix
    want_tool ffprobe ffmpeg
    want_tool mpv mpv
    # Encoders that no test does without; the optional ones come in the same packages.
    local element
    for element in audioresample opusenc compositor videorate videoscale; do want_element "$element" gstreamer1.0-plugins-base; done
    want_element timeoverlay gstreamer1.0-x
    for element in alawenc mulawenc autovideosink splitmuxsink multifilesink jpegenc rtph264pay udpsink; do want_element "$element" gstreamer1.0-plugins-good; done
    for element in x265enc h265parse fakevideosink hlssink2 h264timestamper; do want_element "$element" gstreamer1.0-plugins-bad; done
    install_wanted
    want_rust
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        rustup component add rustfmt clippy || die "rustfmt and clippy are missing beside $(command -v cargo)"
    python_packages
    # Once, so that the tests do not all do it at the same time.
    gst-inspect-1.0 --exists fakesink
    if [ ! -d "${KVS_CAPTURES:-$root/../shared/captures}" ]; then
        say "NOTE: there is no folder of captures; the tests that read real GetMedia bodies are SKIPPED"
        say "NOTE: set KVS_CAPTURES to a folder with output_get_media.mkv and its like to run them"
    fi
}

python_packages() {
    local python=$root/target/venv/bin/python
    "$python" -c 'import boto3' 2>/dev/null && return
    say "set-up: installing boto3 into target/venv"
    python3 -m venv --clear "$root/target/venv" || die "python3 could not make target/venv"
    "$python" -m pip install --quiet --disable-pip-version-check -r "$root/tests/requirements.txt" ||
        die "pip could not install boto3"
}

formatting() { cargo fmt --all --check; }

lints() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

# With what the tests need, so that they build nothing again with other features.
build() { cargo build --locked --workspace --lib --bins --examples --tests; }

tests() { cargo test --locked --workspace; }

# As README.md has it, but for DESTDIR; the quickstart has built the same.
meson_install() {
    meson setup "$temporary/meson" "$root"
    DESTDIR=$temporary/destination meson install -C "$temporary/meson"
    local installed
    installed=$temporary/destination$(pkg-config --variable=pluginsdir gstreamer-1.0)/libgstkvs.so
    [ -f "$installed" ] || die "no $installed"
    export GST_PLUGIN_PATH=${installed%/*}
    gst-inspect-1.0 kvssrc >"$temporary/inspect" || die "GStreamer does not load the installed plugin"
    grep -F "$installed" "$temporary/inspect" || die "GStreamer found another kvssrc than the installed one"

    say "with a prefix, the plugin goes into its library directory"
    meson setup "$temporary/meson-prefix" "$root" --prefix=/opt/kvs --libdir=lib >/dev/null
    meson introspect --installed "$temporary/meson-prefix" | grep -F '"/opt/kvs/lib/gstreamer-1.0/libgstkvs.so"'
}

quickstart() {
    cd "$temporary"
    bash "$root/examples/quickstart.sh" quickstart.mp4
    [ -s quickstart.mp4 ] || die "quickstart.sh wrote nothing"
}

# All commands on a stream whose pictures are decoded as they are shown, on one where they are out of order, and on one
# whose sound comes a second late besides: side by side, since they wait for a camera most of the time.
readme() {
    use_plugin debug
    local emulator=$root/target/debug/kvs-emulator scenes=() scene readers=() failures=0
    make_sample
    add_scene in-order 0
    make_sample reordered
    add_scene reordered 0
    add_scene late-sound 1000
    local index
    for index in "${!readers[@]}"; do
        wait "${readers[$index]}" || failures=$((failures + 1))
        scene=${scenes[$index]}
        sed "s/^/$scene: /" "$temporary/$scene/log"
    done
    [ $failures -eq 0 ] || die "$failures of the streams failed"
}

# add_scene NAME MILLISECONDS: begins to run the commands on two streams of the name X, whose sound is so late: a camera,
# and one that was recorded from ten seconds before the minute that README.md fetches to ten seconds after it.
add_scene() {
    local folder=$temporary/$1
    mkdir -p "$folder/recipes"
    start_emulator "$emulator" --stream X="$sample" --end-at-head
    get_media "$emulator_url" X -o "$folder/once.mkv"
    if [ "$2" -gt 0 ]; then
        python3 "$root/tests/late_sound.py" "$folder/once.mkv" "$folder/late.mkv" "$2"
        mv "$folder/late.mkv" "$folder/once.mkv"
    fi
    python3 "$root/tests/repeat_body.py" "$folder/once.mkv" "$folder/recording.mkv" 8 "$(date -d 2026-01-05T09:59:50Z +%s)"
    local stored
    start_emulator "$emulator" --stream X="$folder/recording.mkv"
    stored=$emulator_url
    start_emulator "$emulator" --stream X="$folder/once.mkv" --live
    scenes+=("$1")
    (
        export STORED_ENDPOINT_URL=$stored LIVE_ENDPOINT_URL=$emulator_url
        cd "$folder"
        python3 "$root/tests/readme.py" "$root/README.md"
        cd recipes
        python3 "$root/tests/recipes.py" "$root/docs/recipes.md"
    ) >"$folder/log" 2>&1 &
    readers+=($!)
}

# ---- All of them ---------------------------------------------------------------------------------------------------

printf '== set-up\n'
set_up
check "formatting" formatting
check "lints" lints
check "build" build
[ $status -eq 0 ] || finish # nothing else could run
check "tests" tests
check "quickstart" quickstart
check "meson install" meson_install
check "commands of README.md and docs/recipes.md" readme
finish
