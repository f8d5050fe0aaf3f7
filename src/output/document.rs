//! The tracks of one Matroska document, and how those of later headers go on in it.

use std::sync::Arc;

use super::caps::aac_is_alike;
use super::in_band::{InBand, in_band};
use crate::fragment::Header;
use crate::mkv::{Track, TrackKind};

/// A track that a document has no place for: one more than its header has, or one of another codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its TrackNumber.
    pub number: u64,
    pub name: Option<String>,
    /// Its CodecID.
    pub codec_id: String,
}

/// The tracks that the header of a document has.
#[derive(Debug)]
pub(super) struct Document {
    pub header: Arc<Header>,
    /// By track: whether its CodecPrivate has been another one, so that decoders need to be told of the one at hand.
    changed: Vec<bool>,
}

/// What becomes of the blocks of a track.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    AsItCame,
    /// They go on as the document's track of this number.
    As {
        number: u64,
        in_band: Option<InBand>,
    },
    /// They do not go out.
    Nowhere,
}

impl Document {
    pub fn new(header: &Arc<Header>) -> Self {
        Self { header: Arc::clone(header), changed: vec![false; header.tracks.tracks.len()] }
    }

    /// The places of a header's tracks, and those that have none. Names tell tracks apart better than numbers do, which a
    /// producer may give anew.
    pub fn places(&mut self, header: &Header) -> (Vec<Place>, Vec<LeftOut>) {
        let rules: [fn(&Track, &Track) -> bool; 4] = [
            |known, track| known.number == track.number && known.name == track.name,
            |known, track| known.name.is_some() && known.name == track.name,
            |known, track| known.number == track.number,
            |_, _| true,
        ];
        let tracks = &header.tracks.tracks;
        let known = &self.header.tracks.tracks;
        let mut found: Vec<Option<usize>> = vec![None; tracks.len()];
        for rule in rules {
            for (track, place) in tracks.iter().enumerate().map(|(index, track)| (track, index)) {
                if found.get(place).copied().flatten().is_some() {
                    continue;
                }
                let free = known.iter().enumerate().find(|(index, known)| {
                    !found.contains(&Some(*index)) && rule(known, track) && continuation(known, track).is_some()
                });
                if let (Some((index, _)), Some(found)) = (free, found.get_mut(place)) {
                    *found = Some(index);
                }
            }
        }
        let mut left_out = Vec::new();
        let mut places = Vec::new();
        for (track, found) in tracks.iter().zip(found) {
            let Some((index, known)) = found.and_then(|index| Some((index, known.get(index)?))) else {
                let Track { number, name, codec_id, .. } = track.clone();
                left_out.push(LeftOut { number, name, codec_id });
                places.push(Place::Nowhere);
                continue;
            };
            let continuation = continuation(known, track).unwrap_or(Continuation::Same);
            if let (Continuation::InBand(_), Some(changed)) = (&continuation, self.changed.get_mut(index)) {
                *changed = true;
            }
            let in_band = match continuation {
                Continuation::InBand(in_band) => Some(in_band),
                // Back to what the header says: decoders have been told otherwise.
                Continuation::Same if self.changed.get(index) == Some(&true) => in_band(known, track),
                Continuation::Same => None,
            };
            places.push(match in_band {
                None if known.number == track.number => Place::AsItCame,
                in_band => Place::As { number: known.number, in_band },
            });
        }
        (places, left_out)
    }
}

/// How the frames of a track go on in the place of another one.
enum Continuation {
    Same,
    InBand(InBand),
}

/// `None`: they do not, since the header would say what is not true of them.
fn continuation(known: &Track, track: &Track) -> Option<Continuation> {
    let private = |track: &Track| track.codec_private.clone().unwrap_or_default();
    let (before, now) = (private(known), private(track));
    if known.codec_id != track.codec_id
        || known.stripped_header != track.stripped_header
        || known.unsupported_encoding != track.unsupported_encoding
    {
        return None;
    }
    let is_same = match (&known.kind, &track.kind) {
        (TrackKind::Video(known_video), TrackKind::Video(video)) => match track.codec_id.as_str() {
            // All that a decoder needs is in the frames.
            "V_VP8" | "V_VP9" | "V_MJPEG" => true,
            "V_UNCOMPRESSED" => known_video == video && before == now,
            // A BITMAPINFOHEADER: the codec, and what it adds behind the header.
            "V_MS/VFW/FOURCC" => before.get(16..20) == now.get(16..20) && before.get(40..) == now.get(40..),
            _ if before == now => true,
            // What goes before a frame would come before what was stripped off it.
            _ if !track.stripped_header.is_empty() => return None,
            _ => return in_band(known, track).map(Continuation::InBand),
        },
        (TrackKind::Audio(known_audio), TrackKind::Audio(audio)) => match track.codec_id.as_str() {
            codec if ["A_MPEG/", "A_AC3", "A_EAC3", "A_DTS"].iter().any(|own| codec.starts_with(own)) => true,
            // ADTS says what it is in each frame.
            "A_AAC" => (before.is_empty() && now.is_empty()) || before == now || aac_is_alike(&before, &now),
            // An OpusHead: channels, and how they are mapped. Pre-skip and input rate are of one encoder's start.
            "A_OPUS" => before.get(9) == now.get(9) && before.get(18..) == now.get(18..),
            // A WAVEFORMATEX, but for the bytes a second.
            "A_MS/ACM" => before.get(..8) == now.get(..8) && before.get(12..) == now.get(12..),
            _ => before == now && known_audio == audio,
        },
        (TrackKind::Other(before_kind), TrackKind::Other(kind)) => before_kind == kind && before == now,
        _ => false,
    };
    is_same.then_some(Continuation::Same)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::caps::test;
    use super::*;
    use crate::fragment;
    use crate::mkv::{Info, Tracks};

    fn header(tracks: &[Track]) -> Arc<Header> {
        let tracks = Tracks { tracks: tracks.to_vec(), raw: Bytes::new() };
        Arc::new(Header { document: fragment::Document::default(), info: Info::default(), tracks })
    }

    fn named(number: u64, name: &str, track: Track) -> Track {
        Track { number, uid: number, name: (!name.is_empty()).then(|| name.to_owned()), ..track }
    }

    fn aac(private: &[u8]) -> Track {
        test::audio("A_AAC", private, test::STEREO)
    }

    fn opus() -> Track {
        test::audio("A_OPUS", b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0", test::STEREO)
    }

    /// The document's numbers of the tracks; 0: none.
    fn numbers(known: &[Track], tracks: &[Track]) -> Vec<u64> {
        let (places, left_out) = Document::new(&header(known)).places(&header(tracks));
        assert_eq!(places.iter().filter(|place| **place == Place::Nowhere).count(), left_out.len());
        let number = |(place, track): (Place, &Track)| match place {
            Place::AsItCame => track.number,
            Place::As { number, .. } => number,
            Place::Nowhere => 0,
        };
        places.into_iter().zip(tracks).map(number).collect()
    }

    #[test]
    fn tracks_are_known_by_name_and_number() {
        let known = [named(1, "a", aac(&[0x11, 0x90])), named(2, "b", aac(&[0x11, 0x90]))];
        let track = |number, name| named(number, name, aac(&[0x11, 0x90]));
        assert_eq!(numbers(&known, &[track(1, "a"), track(2, "b")]), [1, 2]);
        assert_eq!(numbers(&known, &[track(2, "a"), track(1, "b")]), [1, 2]);
        assert_eq!(numbers(&known, &[track(7, ""), track(2, "")]), [1, 2]);
        assert_eq!(numbers(&known, &[track(7, "c")]), [1]);
        assert_eq!(numbers(&known, &[track(7, "c"), track(1, "a"), track(8, "d")]), [2, 1, 0]);
        let known = [named(1, "", test::video("V_VP8", &[])), named(2, "", opus())];
        assert_eq!(numbers(&known, &[named(1, "", opus()), named(2, "", test::video("V_VP8", &[]))]), [2, 1]);
        assert_eq!(numbers(&known, &[named(1, "", test::video("V_VP9", &[])), named(2, "", opus())]), [0, 2]);
    }

    #[test]
    fn sound_goes_on_where_its_configuration_is_alike() {
        let goes_on = |before: Track, now: Track| continuation(&before, &now).is_some();
        // The second has an extension that says that there is no SBR.
        assert!(goes_on(aac(&[0x11, 0x90]), aac(&[0x11, 0x90, 0x56, 0xE5, 0])));
        assert!(!goes_on(aac(&[0x11, 0x90]), aac(&[0x12, 0x10])));
        assert!(!goes_on(aac(&[0x11, 0x90]), aac(&[])));
        assert!(goes_on(aac(&[]), aac(&[])));
        let with_delay = test::audio("A_OPUS", b"OpusHead\x01\x02\x00\x0f\x44\xac\0\0\0\0\0", test::STEREO);
        assert!(goes_on(opus(), with_delay));
        let mono = test::audio("A_OPUS", b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0", test::STEREO);
        assert!(!goes_on(opus(), mono));
        assert!(!goes_on(opus(), aac(&[0x11, 0x90])));
        let stripped = Track { stripped_header: Bytes::from_static(b"x"), ..opus() };
        assert!(!goes_on(opus(), stripped));
    }

    #[test]
    fn decoders_are_told_of_the_way_back_too() {
        let private = |set: u8| [1, 66, 0, 10, 0xFF, 0xE1, 0, 2, 0x67, set, 0];
        let avc = |set| [test::video("V_MPEG4/ISO/AVC", &private(set))];
        let mut document = Document::new(&header(&avc(1)));
        let mut place = |set| document.places(&header(&avc(set))).0.remove(0);
        assert_eq!(place(1), Place::AsItCame);
        for set in [2, 1, 3] {
            let Place::As { in_band: Some(in_band), .. } = place(set) else { panic!("{set}") };
            let frame = in_band.frame(&vec![Bytes::from_static(&[0, 0, 0, 1, 0x65])].into(), true).unwrap();
            assert_eq!(frame.to_bytes()[..6], [0, 0, 0, 2, 0x67, set]);
        }
    }
}
