# shellcheck shell=bash
# What the scripts share: where things are, what a machine has to have, and the emulator that they talk to.
#
# To be sourced. A script names what it wants (want_*), then calls install_wanted, which installs what is missing on
# Debian and Ubuntu and elsewhere says what to install. Sets `root`, and needs no variable of the caller.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$(basename "$0")

HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
PATH=$HOME/.cargo/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
# Everything is built below target/, whatever the caller's own builds do.
CARGO_TARGET_DIR=$root/target
# The list of plugins that GStreamer keeps of a machine: not the caller's, since the plugin of target/ comes and goes.
GST_REGISTRY=$root/target/gstreamer-registry.bin
# The emulator is always asked directly.
no_proxy=127.0.0.1,localhost${no_proxy:+,$no_proxy}
NO_PROXY=$no_proxy
export HOME PATH CARGO_TARGET_DIR GST_REGISTRY no_proxy NO_PROXY
# No account, profile, endpoint or build target of the caller: tests bring their own.
unset CARGO_BUILD_TARGET "${!AWS_@}"
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null

say() { printf '%s: %s\n' "$script" "$*"; }

die() {
    printf '%s: FAILED: %s\n' "$script" "$*" >&2
    exit 1
}

# ---- What is taken away again, however a script ends ---------------------------------------------------------------

emulators=() temporary=
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

make_temporary() { temporary=$(mktemp -d); }

clean_up() {
    stop_emulators
    # A subshell leaves the folder to the script.
    [ "$BASHPID" != $$ ] || [ -z "$temporary" ] || rm -rf "$temporary"
}

stop_emulators() {
    local emulator
    for emulator in "${emulators[@]}"; do
        kill "$emulator" 2>/dev/null || true
        wait "$emulator" 2>/dev/null || true
    done
    emulators=()
}

# ---- What a machine has to have ------------------------------------------------------------------------------------

# Lines of "kind name package": the package is Debian's and Ubuntu's.
wanted=()

want_tool() { wanted+=("tool $1 $2"); }
want_module() { wanted+=("module $1 $2"); }
want_element() { wanted+=("element $1 $2"); }
want_file() { wanted+=("file $1 $2"); }
# A Python module of the standard library that distributions split off.
want_python_module() { wanted+=("python $1 $2"); }

# What a version of PyGObject's libraries is for the system's own Python, the only one that packages are for.
want_gi_library() { wanted+=("system-python $1 $2"); }

there() {
    case $1 in
    tool) command -v "$2" ;;
    module) pkg-config --exists "$2" ;;
    element) gst-inspect-1.0 --exists "$2" ;;
    system-python) /usr/bin/python3 -c "import gi; gi.require_version('$2', '1.0')" ;;
    file) [ -e "$2" ] ;;
    python) python3 -c "import $2" ;;
    esac </dev/null >/dev/null 2>&1
}

# Sets `missing` (lines of "kind name") and `packages`.
find_missing() {
    local line kind name package
    missing=() packages=()
    for line in "${wanted[@]}"; do
        read -r kind name package <<<"$line"
        there "$kind" "$name" && continue
        missing+=("$kind $name")
        [[ " ${packages[*]} " == *" $package "* ]] || packages+=("$package")
    done
}

# Where several scripts install at once, they wait for each other.
apt_install() {
    local install=(apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 "$@") sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "installing packages needs root; as root: ${install[*]}"
        sudo=(sudo)
        [ -t 1 ] || sudo=(sudo -n) # nobody is there to type a password
    fi
    say "installing with apt: $*"
    "${sudo[@]}" apt-get update -q </dev/null || say "apt-get update had errors; trying with the lists that are there"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}" </dev/null ||
        die "apt-get could not install: $* (on Ubuntu some of them need the component universe)"
}

# Installs all that is wanted and not there.
install_wanted() {
    find_missing
    if [ ${#missing[@]} -eq 0 ]; then
        say "set-up: nothing is missing"
        return
    fi
    say "set-up: missing: $(printf '%s, ' "${missing[@]}" | sed 's/, $//')"
    command -v apt-get >/dev/null ||
        die "this machine has no apt-get; please install these (Debian's names): ${packages[*]}"
    apt_install "${packages[@]}"
    find_missing
    [ ${#missing[@]} -eq 0 ] || die "still missing after installing: $(printf '%s; ' "${missing[@]}")"
}

# ---- Rust ----------------------------------------------------------------------------------------------------------

# A cargo that is new enough. Distributions' are older than the AWS SDK asks for, so that rustup brings it: exactly the
# version that Cargo.toml asks for, so that every fresh machine builds and lints alike.
want_rust() {
    local least
    least=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    cargo_is_new_enough "$least" && return
    if ! command -v rustup >/dev/null; then
        say "set-up: Rust $least or newer is missing; installing it with rustup into $HOME/.cargo"
        local installer
        installer=$(mktemp)
        curl --proto '=https' --tlsv1.2 -sSf --retry 3 -o "$installer" https://static.rust-lang.org/rustup/rustup-init.sh ||
            die "rustup could not be downloaded; please install Rust $least or newer (https://rustup.rs)"
        RUSTUP_INIT_SKIP_PATH_CHECK=yes sh "$installer" -y -q --no-modify-path --profile minimal \
            --default-toolchain "$least" -c rustfmt -c clippy </dev/null ||
            die "rustup failed; please install Rust $least or newer (https://rustup.rs)"
        rm -f "$installer"
    else
        say "set-up: Rust $least or newer is missing; installing it with rustup"
        rustup toolchain install "$least" --profile minimal -c rustfmt -c clippy --no-self-update </dev/null ||
            die "rustup failed; please install Rust $least or newer"
    fi
    hash -r
    cargo_is_new_enough "$least" && return
    export RUSTUP_TOOLCHAIN=$least
    cargo_is_new_enough "$least" || die "no Rust $least or newer, also after installing it"
}

cargo_is_new_enough() {
    local have
    have=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    [ -n "$have" ] && [ "$(printf '%s\n' "$1" "${have%%-*}" | sort -V | head -n 1)" = "$1" ]
}

# What builds the plugin and runs it in the simplest pipelines.
want_build() {
    want_file /etc/ssl/certs/ca-certificates.crt ca-certificates
    want_tool curl curl
    want_tool cc build-essential
    want_tool pkg-config pkg-config
    want_module gstreamer-1.0 libgstreamer1.0-dev
    want_module gstreamer-base-1.0 libgstreamer1.0-dev
    want_module gstreamer-audio-1.0 libgstreamer-plugins-base1.0-dev
    want_tool gst-launch-1.0 gstreamer1.0-tools
    want_tool gst-inspect-1.0 gstreamer1.0-tools
    want_element matroskademux gstreamer1.0-plugins-good
    want_element mp4mux gstreamer1.0-plugins-good
    want_element h264parse gstreamer1.0-plugins-bad
}

# What makes and looks at the sample.
want_sample() {
    want_tool gst-discoverer-1.0 gstreamer1.0-plugins-base-apps
    want_element videotestsrc gstreamer1.0-plugins-base
    want_element audiotestsrc gstreamer1.0-plugins-base
    want_element audioconvert gstreamer1.0-plugins-base
    want_element videoconvert gstreamer1.0-plugins-base
    want_element matroskamux gstreamer1.0-plugins-good
    want_element aacparse gstreamer1.0-plugins-good
    want_element qtdemux gstreamer1.0-plugins-good
    want_element x264enc gstreamer1.0-plugins-ugly
    want_element avenc_aac gstreamer1.0-libav
    want_element avdec_h264 gstreamer1.0-libav
}

# ---- A sample, and the emulator ------------------------------------------------------------------------------------

# Makes 10 s of H.264 (300 frames, a keyframe every 2 s) and AAC with stock GStreamer, once; sets `sample`. With
# `reordered`, pictures are shown in another order than they are decoded in.
make_sample() {
    sample=$root/target/quickstart/sample${1:+-$1}.mkv # of 10 s
    [ -s "$sample" ] && return
    local options="bframes=0"
    [ "${1:-}" != reordered ] || options="bframes=3 b-adapt=false b-pyramid=true"
    say "making a sample: 10 s of H.264 and AAC, $options"
    mkdir -p "$(dirname "$sample")"
    gst-launch-1.0 -q matroskamux name=mux ! filesink location="$sample.new" \
        videotestsrc pattern=ball num-buffers=300 ! video/x-raw,format=I420,width=640,height=360,framerate=30/1 ! \
        x264enc speed-preset=veryfast key-int-max=60 $options ! h264parse ! queue ! mux. \
        audiotestsrc samplesperbuffer=480 num-buffers=1000 ! audio/x-raw,rate=48000,channels=2 ! \
        audioconvert ! avenc_aac ! aacparse ! queue ! mux. </dev/null ||
        die "GStreamer could not make the sample"
    mv "$sample.new" "$sample"
}

# Starts an emulator, BINARY with the arguments, on a free port, to be stopped when the script ends; sets `emulator_url`
# and the environment in which AWS clients find it and the demonstration's keys, which no real service knows.
start_emulator() {
    local line output
    exec {output}< <(exec "$@" --listen 127.0.0.1:0)
    emulators+=($!)
    trap clean_up EXIT # a subshell has none of the script's
    IFS= read -r -t 60 line <&"$output" || die "the emulator did not start: $*"
    emulator_url=${line#listening on }
    [ "$emulator_url" != "$line" ] || die "the emulator says '$line' and not where it listens"
    say "emulator: $line"
    export AWS_ENDPOINT_URL=$emulator_url AWS_REGION=us-west-2
    export AWS_ACCESS_KEY_ID=AKIAKVSEMULATORDEMO0 AWS_SECRET_ACCESS_KEY=kvs-emulator-demonstration-secret-key-00
}

# A signed call of the emulator or what stands for it: get_media URL STREAM CURL_OPTION…
get_media() {
    curl -sSf --aws-sigv4 "aws:amz:$AWS_REGION:kinesisvideo" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H 'content-type: application/json' \
        -d "{\"StreamName\":\"$2\",\"StartSelector\":{\"StartSelectorType\":\"EARLIEST\"}}" "${@:3}" "$1/getMedia"
}

# Builds plugin and emulator in release mode: one after the other, since cargo gives crates that are built together
# other features than `meson install` does, and would build them all twice.
build_release() {
    say "building the plugin and the emulator in release mode (the first time takes minutes)"
    local package
    for package in gst-plugin-kvs kvs-emulator; do
        cargo build --manifest-path "$root/Cargo.toml" --locked --release -p $package </dev/null ||
            die "cargo could not build $package"
    done
}

# Puts the plugin of a cargo profile's folder, and nothing else of it, where GStreamer looks.
use_plugin() {
    local folder=$root/target/gstreamer/$1
    mkdir -p "$folder"
    ln -sfn "$root/target/$1/libgstkvs.so" "$folder/libgstkvs.so"
    export GST_PLUGIN_PATH=$folder${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
    # Not --exists: that asks for a plugin of GStreamer's own version.
    [[ $(gst-inspect-1.0 kvssrc </dev/null 2>&1) == *"$folder/libgstkvs.so"* ]] ||
        die "GStreamer does not load $root/target/$1/libgstkvs.so"
}
