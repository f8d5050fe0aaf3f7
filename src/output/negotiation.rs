//! One Matroska stream or the frames of one track: whatever downstream takes.

use std::sync::Arc;

use gst::prelude::*;

use super::caps::track_caps;
use super::container::{self, ContainerWriter};
use super::{Error, TrackCaps, TrackWriter, Writer};
use crate::fragment::Header;
use crate::mkv::{Track, TrackKind};

/// What stands behind the pad.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// What it takes.
    pub caps: gst::Caps,
    /// The stream is taken apart by kvsdemux, which knows what to do at another header.
    pub has_kvsdemux: bool,
}

impl Downstream {
    /// Asks behind a pad.
    pub fn of(pad: &gst::Pad) -> Self {
        Self { caps: pad.peer_query_caps(None), has_kvsdemux: container::reaches_kvsdemux(pad) }
    }
}

/// Which track a user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSelector(String);

impl TrackSelector {
    /// A track's number or its name; `None` where the text is empty.
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn find(&self, tracks: &[Track]) -> Option<usize> {
        let number: Option<u64> = self.0.parse().ok();
        tracks
            .iter()
            .position(|track| Some(track.number) == number)
            .or_else(|| tracks.iter().position(|track| track.name.as_deref() == Some(&self.0)))
    }
}

/// Chooses the writer for frames under `header`: the container where `downstream` takes it, else the selected track,
/// else the first video track that fits, else the first that fits. `claim` says what the tracks hold.
///
/// # Errors
///
/// The selected track is not there, has a codec that caps cannot describe, or nothing fits.
pub fn choose(
    header: &Arc<Header>,
    downstream: &gst::Caps,
    selector: Option<&TrackSelector>,
    claim: &TrackCaps,
) -> Result<Writer, Error> {
    if downstream.can_intersect(&container::caps(header)) {
        return Ok(Writer::Container(ContainerWriter::new(header)));
    }
    let tracks = &header.tracks.tracks;
    if let Some(selector) = selector {
        let index = selector
            .find(tracks)
            .ok_or_else(|| Error::NoSuchTrack { wanted: selector.0.clone(), available: describe_all(tracks) })?;
        return tracks.get(index).ok_or_else(|| no_fit(downstream, tracks, claim)).and_then(|track| {
            fit(index, track, downstream, claim)?.ok_or_else(|| no_fit(downstream, std::slice::from_ref(track), claim))
        });
    }
    let is_video = |track: &Track| matches!(track.kind, TrackKind::Video(_));
    let by_kind = |video: bool| tracks.iter().enumerate().filter(move |(_, track)| is_video(track) == video);
    by_kind(true)
        .chain(by_kind(false))
        .find_map(|(index, track)| fit(index, track, downstream, claim).ok().flatten())
        .ok_or_else(|| no_fit(downstream, tracks, claim))
}

/// A writer for the track, unless downstream does not take its format.
fn fit(index: usize, track: &Track, downstream: &gst::Caps, claim: &TrackCaps) -> Result<Option<Writer>, Error> {
    let caps = claim.of(track).map_err(|reason| Error::Codec { number: track.number, reason })?;
    Ok(downstream.can_intersect(&caps).then(|| Writer::Track(Box::new(TrackWriter::new(index, track, caps)))))
}

fn no_fit(downstream: &gst::Caps, tracks: &[Track], claim: &TrackCaps) -> Error {
    // Short enough to read: of each structure only what kind of media it is and how it is laid out.
    let mut formats: Vec<String> = Vec::new();
    for structure in downstream.iter() {
        let layout = structure.get::<String>("stream-format").ok().map(|layout| format!(", stream-format={layout}"));
        let format = format!("{}{}", structure.name(), layout.unwrap_or_default());
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    Error::NoFit {
        downstream: if formats.is_empty() { "nothing".to_owned() } else { formats.join(" or ") },
        available: describe_all(tracks),
        may_pass: tracks.iter().any(|track| claim.of(track).is_err_and(|reason| reason.may_pass())),
    }
}

fn describe_all(tracks: &[Track]) -> String {
    let mut all: Vec<String> = tracks.iter().map(describe).collect();
    if all.is_empty() {
        all.push("no track".to_owned());
    }
    all.join("; ")
}

fn describe(track: &Track) -> String {
    let name = track.name.as_deref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let what = match track_caps(track) {
        Ok(caps) => caps
            .structure(0)
            .map(|structure| {
                let layout = structure.get::<String>("stream-format").ok();
                format!(
                    "{}{}",
                    structure.name(),
                    layout.map(|layout| format!(", stream-format={layout}")).unwrap_or_default()
                )
            })
            .unwrap_or_default(),
        Err(reason) => reason.to_string(),
    };
    format!("track {}{name} {} ({what})", track.number, track.codec_id)
}
