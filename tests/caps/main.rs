//! The caps, stream headers and frames of a track, judged by matroskademux: the same file through both.

mod demuxer;
mod described;
mod differing;
mod encoded;
mod matroska;
mod private;

use bytes::Bytes;
use gst::prelude::*;
use gstkvs::mkv::{Block, Element, Reader, Track};
use gstkvs::output::caps::{elementary_template_caps, track_caps};

use crate::demuxer::demux;
use crate::matroska::{Entry, file};

/// The tracks and blocks of a file.
fn read(file: &[u8]) -> (Vec<Track>, Vec<Block>) {
    let mut reader = Reader::new();
    reader.push(Bytes::copy_from_slice(file));
    let (mut tracks, mut blocks) = (Vec::new(), Vec::new());
    while let Some(element) = reader.next().expect("readable Matroska") {
        match element {
            Element::Tracks(header) => tracks = header.tracks,
            Element::Block(block) => blocks.push(block),
            _ => {}
        }
    }
    (tracks, blocks)
}

/// The fields in which our caps differ from matroskademux's, each as one line; empty where they are equal.
fn differences(track: &Track, theirs: &gst::Caps) -> Vec<String> {
    let ours = match track_caps(track) {
        Ok(ours) => ours,
        Err(error) => return vec![format!("no caps ({error}), matroskademux has {theirs}")],
    };
    assert!(ours.is_fixed(), "{ours} is not fixed");
    assert!(ours.is_subset(&elementary_template_caps()), "{ours} is not in the template");
    let (ours, theirs) = (ours.structure(0).expect("one structure"), theirs.structure(0).expect("one structure"));
    let mut lines = Vec::new();
    if ours.name() != theirs.name() {
        lines.push(format!("{} is not {}", ours.name(), theirs.name()));
    }
    let names = ours.fields().chain(theirs.fields().filter(|name| !ours.has_field(*name)));
    for name in names {
        let (ours, theirs) = (ours.value(name).ok(), theirs.value(name).ok());
        let equal = match (ours, theirs) {
            // matroskademux 1.22 doubles rates where there is no SBR; in `encoded`, decoders judge.
            _ if name == "rate" && track.codec_id == "A_AAC" => true,
            (Some(ours), Some(theirs)) => gst::glib::Value::eq(ours, theirs),
            (Some(_), None) => is_missing_before_1_22(name),
            _ => false,
        };
        if !equal {
            lines.push(format!("{name}: {ours:?} is not {theirs:?}"));
        }
    }
    lines
}

/// Whether an older matroskademux leaves the field out, of AV1 or JPEG, where it gives it now.
fn is_missing_before_1_22(field: &str) -> bool {
    let (major, minor, ..) = gst::version();
    (major, minor) < (1, 22) && matches!(field, "alignment" | "parsed" | "stream-format")
}

/// Our tracks of a file with these entries, each with matroskademux's caps.
fn tracks(entries: &[Entry]) -> Vec<(Track, gst::Caps)> {
    gst::init().expect("GStreamer");
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("tracks.mkv");
    let mut tracks = Vec::new();
    for entries in entries.chunks(100) {
        let file = file(entries);
        std::fs::write(&path, &file).expect("temporary file");
        let outputs = demux(&path);
        let (ours, _) = read(&file);
        assert_eq!((ours.len(), outputs.len()), (entries.len(), entries.len()), "every track is there");
        tracks.extend(ours.into_iter().zip(outputs).map(|(track, output)| (track, output.caps)));
    }
    tracks
}
