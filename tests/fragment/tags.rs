//! Which tags of a body are the fragment's metadata.

use gstkvs::fragment::{FragmentEnd, FrameReader, Output, Range};

use super::body::{Fragment, element, unsigned};

/// A SimpleTag.
fn simple(name: &str, value: &str, more: &[u8]) -> Vec<u8> {
    let pair = [element(&[0x45, 0xA3], name.as_bytes()), element(&[0x44, 0x87], value.as_bytes())].concat();
    element(&[0x67, 0xC8], &[&pair, more].concat())
}

#[test]
fn what_muxers_say_of_tracks_is_none_of_it() {
    let fragment = Fragment::audio(0, 6);
    let of_track = element(&[0x63, 0xC0], &unsigned(&[0x63, 0xC5], 1));
    let duration = [of_track, simple("DURATION", "00:00:00.120000000", &[])].concat();
    let within = simple("camera", "north", &simple("serial", "7", &[]));
    let written = [element(&[0x73, 0x73], &duration), element(&[0x73, 0x73], &within)].concat();
    let body = [
        fragment.until_cluster(),
        element(&[0x12, 0x54, 0xC3, 0x67], &written),
        fragment.bytes()[fragment.until_cluster().len()..].to_vec(),
    ]
    .concat();
    let mut reader = FrameReader::new(Range::default());
    reader.push(body.into());
    let mut told = Vec::new();
    let mut ends: Vec<FragmentEnd> = Vec::new();
    while let Some(output) = reader.next().unwrap() {
        match output {
            Output::Start(fragment) => told.extend(fragment.tags.clone()),
            Output::End(end) => ends.push(end),
            Output::Block(_) | Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => {}
        }
    }
    assert_eq!(told, [("camera".to_owned(), "north".to_owned())]);
    assert_eq!(ends.len(), 1);
}
