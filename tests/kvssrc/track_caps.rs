//! track-caps: what frames are, where the header lies.

use super::body::{Block, Fragment, Track, body, element, unsigned};
use super::support::{emulator_with_body, run, run_to_end, source};

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

/// ContentEncodings of one ContentEncoding that holds this.
fn encodings(encoding: &[u8]) -> Vec<u8> {
    element(&[0x6D, 0x80], &element(&[0x62, 0x40], encoding))
}

/// Sound beside subtitles that are compressed, as many muxers do.
fn with_compressed_subtitles() -> Vec<u8> {
    let mut fragment = Fragment::audio(0, 4);
    let zlib = encodings(&element(&[0x50, 0x34], &unsigned(&[0x42, 0x54], 0)));
    let (number, private) = (2, Vec::new());
    fragment.tracks.push(Track { number, kind: 17, codec: "S_TEXT/UTF8", private, name: "words", more: zlib });
    let words = [0x78, 0x9C, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x06, 0x2C, 0x02, 0x15];
    fragment.blocks.push(Block { track: 2, time: 0, keyframe: true, payload: words.to_vec() });
    body(&[fragment])
}

#[test]
fn a_track_that_is_encoded_leaves_the_others_as_they_are() {
    let emulator = emulator_with_body(with_compressed_subtitles());
    let source = source(&emulator);
    for element in [source.clone(), format!("{source} ! matroskademux"), format!("{source} ! kvsdemux")] {
        let outcome = run(&element, "audio/x-alaw").ok();
        assert_eq!(outcome.frames.len(), 4, "{element}");
    }
    // In the container, who can undo it finds it as it was.
    let outcome = run(&format!("{source} ! matroskademux"), "text/x-raw").ok();
    assert_eq!(outcome.payloads(), [b"hello"]);
    let error = run(&format!("{source} track=words"), "audio/x-alaw").error.expect("subtitles have no caps").1;
    assert!(error.contains("zlib compression"), "{error}");
}

#[test]
fn no_caps_make_frames_of_an_encrypted_track() {
    let mut fragment = Fragment::audio(0, 4);
    fragment.tracks[0].more = encodings(&unsigned(&[0x50, 0x33], 1));
    let emulator = emulator_with_body(body(&[fragment]));
    for element in [
        format!("{} track-caps={PCM}", source(&emulator)),
        format!("{} ! kvsdemux track-caps={PCM}", source(&emulator)),
    ] {
        let error = run(&element, "audio/x-raw").error.expect(&element);
        assert!(format!("{error:?}").contains("encryption"), "{element}: {error:?}");
    }
    let _ = run_to_end(&format!("{} ! fakesink", source(&emulator))).ok();
}
