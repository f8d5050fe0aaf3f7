//! track-caps: what frames are, where the header lies.

use super::body::{Fragment, Track, body};
use super::support::{emulator_with_body, run, source};

const PCM: &str = "audio/x-raw,format=S16LE,rate=8000,channels=1";

/// Frames of two samples under a header that claims AAC and has nothing to show for it.
fn lying() -> Vec<u8> {
    let mut fragment = Fragment::audio(0, 4);
    fragment.tracks = vec![Track { codec: "A_AAC", private: Vec::new(), ..Track::alaw(1, "voice") }];
    fragment.blocks.iter_mut().for_each(|block| block.payload = vec![1, 2, 3, 4]);
    body(&[fragment])
}

#[test]
fn frames_are_what_the_user_says() {
    let emulator = emulator_with_body(lying());
    for element in [
        format!("{} track-caps={PCM}", source(&emulator)),
        format!("{} ! kvsdemux track-caps={PCM}", source(&emulator)),
    ] {
        let outcome = run(&element, "audio/x-raw").ok();
        let wanted: gst::Caps = format!("{PCM},layout=interleaved").parse().unwrap();
        assert_eq!(outcome.caps, [wanted], "{element}");
        assert_eq!(outcome.payloads(), [[1, 2, 3, 4]; 4], "{element}");
    }
}

#[test]
fn without_them_the_header_is_believed() {
    let emulator = emulator_with_body(lying());
    assert!(run(&source(&emulator), "audio/x-raw").error.is_some());
}
