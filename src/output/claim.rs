//! What the frames of a track are said to be: by the header, or by a user who knows better.

use gst::glib;
use gst::prelude::*;

use super::caps::{CapsError, expect_plain, track_caps};
use crate::mkv::{Track, TrackKind};

/// The specification of the property `track-caps`, which both elements have.
pub fn track_caps_property() -> glib::ParamSpec {
    glib::ParamSpecBoxed::builder::<gst::Caps>("track-caps")
        .nick("Track caps")
        .blurb(
            "What elementary frames are, whatever codec the stream's header claims: for all tracks of their kind, audio or \
             video, such as audio/x-raw,format=S16LE,rate=8000,channels=1 (default: what the header claims)",
        )
        .mutable_ready()
        .build()
}

/// Caps that a user gives in place of those that headers claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackCaps(Option<gst::Caps>);

impl TrackCaps {
    /// Caps for all tracks of their kind, video or audio. Of several the first are meant, and raw audio is interleaved
    /// unless it says otherwise; any and empty caps say nothing.
    pub fn new(caps: Option<&gst::Caps>) -> Self {
        Self(caps.filter(|caps| !caps.is_any() && !caps.is_empty()).map(|caps| {
            let mut caps = caps.to_owned();
            for structure in caps.make_mut().iter_mut() {
                if structure.name() == "audio/x-raw" && !structure.has_field("layout") {
                    structure.set("layout", "interleaved");
                }
            }
            caps.fixate();
            caps
        }))
    }

    /// The caps of a track's frames.
    ///
    /// # Errors
    ///
    /// Nobody has given them, and the header's cannot be told; or the frames are encoded in a way that hides them.
    pub fn of(&self, track: &Track) -> Result<gst::Caps, CapsError> {
        expect_plain(track)?;
        let given = self.0.as_ref().filter(|caps| {
            let is_audio = caps.structure(0).is_some_and(|structure| structure.name().starts_with("audio/"));
            match track.kind {
                TrackKind::Video(_) => !is_audio,
                TrackKind::Audio(_) => is_audio,
                TrackKind::Other(_) => false,
            }
        });
        given.map_or_else(|| track_caps(track), |caps| Ok(caps.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::caps::test;

    #[test]
    fn they_are_for_tracks_of_their_kind() {
        let (voice, picture) = (test::audio("A_AAC", &[], test::STEREO), test::video("V_VP8", &[]));
        let of = |given: &str, track| TrackCaps::new(Some(&given.parse().unwrap())).of(track);
        let raw = "audio/x-raw, format=(string)S16LE, rate=(int)8000, channels=(int)1, layout=(string)interleaved";
        let given = of("audio/x-raw,format=S16LE,rate=8000,channels=1", &voice).unwrap();
        assert_eq!(given, raw.parse::<gst::Caps>().unwrap());
        assert_eq!(of(raw, &picture), track_caps(&picture));
        assert_eq!(of("video/x-vp9", &picture).unwrap().to_string(), "video/x-vp9");
        for nothing in ["ANY", "EMPTY", "video/x-vp9"] {
            assert_eq!(of(nothing, &voice), track_caps(&voice), "{nothing}");
        }
        assert!(of("audio/x-raw,rate=[1,2]", &voice).unwrap().is_fixed());
        let encrypted = Track { unsupported_encoding: Some("encryption".to_owned()), ..voice.clone() };
        assert_eq!(of(raw, &encrypted), track_caps(&encrypted));
        assert!(track_caps(&encrypted).is_err());
    }
}
