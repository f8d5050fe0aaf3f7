//! Reads a Tracks element (RFC 9559 section 5.1.4).

use bytes::Bytes;

use super::children::Child;
use super::error::Error;
use super::ids::Id;
use super::track::{Audio, Colour, Track, TrackKind, Video};
use super::{vint, writer};

/// TrackEntries in one Tracks element. Kinesis Video allows three; each costs more memory than its bytes.
const MAX_TRACKS: usize = 128;

/// The Tracks element.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracks {
    pub tracks: Vec<Track>,
    /// The whole element as it came, ID and size included.
    pub raw: Bytes,
}

impl Tracks {
    /// The whole element with video tracks in front and other than audio behind, else in the order in which they came:
    /// programs that link or play the first track take a picture where there is one.
    pub fn in_order(&self) -> Bytes {
        let rank = |track: &Track| match track.kind {
            TrackKind::Video(_) => 0,
            TrackKind::Audio(_) => 1,
            TrackKind::Other(_) => 2,
        };
        if self.tracks.is_sorted_by_key(rank) {
            return self.raw.clone();
        }
        // It was read before.
        let Ok(Some(head)) = vint::head(&self.raw) else { return self.raw.clone() };
        let data = self.raw.get(head.length..).unwrap_or_default();
        let element = Child { id: Id::TRACKS, offset: 0, data_offset: 0, data };
        let entries = element.children().flatten().filter(|child| child.id == Id::TRACK_ENTRY);
        let mut entries: Vec<_> = self.tracks.iter().map(rank).zip(entries).collect();
        entries.sort_by_key(|(rank, _)| *rank);
        let (mut all, mut written) = (Vec::new(), Vec::new());
        entries.iter().for_each(|(_, entry)| writer::element(&mut all, Id::TRACK_ENTRY, entry.data));
        writer::element(&mut written, Id::TRACKS, &all);
        written.into()
    }
}

/// Reads the tracks of a Tracks element.
pub(super) fn parse(element: &Child) -> Result<Vec<Track>, Error> {
    let mut tracks = Vec::new();
    for entry in element.children() {
        let entry = entry?;
        if entry.id != Id::TRACK_ENTRY {
            continue;
        }
        if tracks.len() == MAX_TRACKS {
            return Err(element.invalid("more than 128 tracks"));
        }
        tracks.push(track(&entry)?);
    }
    if tracks.is_empty() {
        return Err(element.invalid("no TrackEntry in it"));
    }
    Ok(tracks)
}

fn track(entry: &Child) -> Result<Track, Error> {
    let mut track = Track {
        number: 0,
        uid: 0,
        kind: TrackKind::Other(0),
        codec_id: String::new(),
        codec_private: None,
        name: None,
        language: None,
        default_duration: None,
        codec_delay: 0,
        stripped_header: Bytes::new(),
        unsupported_encoding: None,
        first_frame: None,
    };
    let (mut kind, mut bcp47, mut encodings) = (0, None, None);
    let (mut video_settings, mut audio_settings) = (Video::default(), Audio::default());
    for child in entry.children() {
        let child = child?;
        match child.id {
            Id::TRACK_NUMBER => track.number = child.unsigned()?,
            Id::TRACK_UID => track.uid = child.unsigned()?,
            Id::TRACK_TYPE => kind = child.unsigned()?,
            Id::CODEC_ID => track.codec_id = child.text(),
            Id::CODEC_PRIVATE => track.codec_private = Some(Bytes::copy_from_slice(child.data)),
            Id::NAME => track.name = Some(child.text()),
            Id::LANGUAGE => track.language = Some(child.text()),
            Id::LANGUAGE_BCP47 => bcp47 = Some(child.text()),
            Id::DEFAULT_DURATION => track.default_duration = child.nanoseconds()?,
            Id::CODEC_DELAY => track.codec_delay = child.nanoseconds()?.unwrap_or(0),
            Id::VIDEO => video_settings = video(&child)?,
            Id::AUDIO => audio_settings = audio(&child)?,
            Id::CONTENT_ENCODINGS => encodings = Some(child),
            _ => {}
        }
    }
    if track.number == 0 {
        return Err(entry.invalid("no TrackNumber, or 0"));
    }
    track.kind = match kind {
        1 => TrackKind::Video(video_settings),
        2 => TrackKind::Audio(audio_settings),
        other => TrackKind::Other(other),
    };
    track.language = bcp47.or(track.language);
    if let Some(encodings) = encodings {
        undo_encodings(&encodings, &mut track)?;
    }
    Ok(track)
}

fn video(element: &Child) -> Result<Video, Error> {
    let mut video = Video::default();
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::PIXEL_WIDTH => video.pixel_width = child.pixels()?,
            Id::PIXEL_HEIGHT => video.pixel_height = child.pixels()?,
            Id::DISPLAY_WIDTH => video.display_width = child.optional_pixels(),
            Id::DISPLAY_HEIGHT => video.display_height = child.optional_pixels(),
            Id::DISPLAY_UNIT => video.display_unit = child.unsigned()?,
            Id::FLAG_INTERLACED => video.interlaced = child.unsigned()?,
            Id::FIELD_ORDER => video.field_order = child.unsigned_or(video.field_order)?,
            Id::COLOUR => video.colour = Some(colour(&child)?),
            _ => {}
        }
    }
    Ok(video)
}

fn colour(element: &Child) -> Result<Colour, Error> {
    /// "Unspecified", the default of the three code points.
    const UNSPECIFIED: u64 = 2;
    let mut colour = Colour::default();
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::MATRIX_COEFFICIENTS => colour.matrix_coefficients = Some(child.unsigned_or(UNSPECIFIED)?),
            Id::TRANSFER_CHARACTERISTICS => colour.transfer_characteristics = Some(child.unsigned_or(UNSPECIFIED)?),
            Id::PRIMARIES => colour.primaries = Some(child.unsigned_or(UNSPECIFIED)?),
            Id::RANGE => colour.range = Some(child.unsigned()?),
            _ => {}
        }
    }
    Ok(colour)
}

fn audio(element: &Child) -> Result<Audio, Error> {
    let mut audio = Audio::default();
    for child in element.children() {
        let child = child?;
        match child.id {
            Id::SAMPLING_FREQUENCY => audio.sampling_frequency = child.frequency_or(audio.sampling_frequency)?,
            // One that makes no sense counts as missing.
            Id::OUTPUT_SAMPLING_FREQUENCY => audio.output_sampling_frequency = child.frequency_or(0.0).ok(),
            Id::CHANNELS => audio.channels = child.unsigned_or(audio.channels)?,
            Id::BIT_DEPTH => audio.bit_depth = child.positive()?,
            _ => {}
        }
    }
    Ok(audio)
}

/// Takes over header stripping, and tells of everything else that a consumer would have to undo
/// (RFC 9559 section 5.1.4.1.31).
fn undo_encodings(encodings: &Child, track: &mut Track) -> Result<(), Error> {
    let mut found = None;
    for encoding in encodings.children() {
        let encoding = encoding?;
        if encoding.id != Id::CONTENT_ENCODING {
            continue;
        }
        if found.is_some() {
            track.unsupported_encoding = Some("more than one encoding".to_owned());
            return Ok(());
        }
        let (mut scope, mut kind, mut algorithm, mut settings) = (1, 0, 0, &[][..]);
        for child in encoding.children() {
            let child = child?;
            match child.id {
                Id::CONTENT_ENCODING_SCOPE => scope = child.unsigned_or(1)?,
                Id::CONTENT_ENCODING_TYPE => kind = child.unsigned()?,
                Id::CONTENT_COMPRESSION => {
                    for child in child.children() {
                        let child = child?;
                        match child.id {
                            Id::CONTENT_COMP_ALGO => algorithm = child.unsigned()?,
                            Id::CONTENT_COMP_SETTINGS => settings = child.data,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        found = Some((scope, kind, algorithm, settings));
    }
    let Some((scope, kind, algorithm, settings)) = found else { return Ok(()) };
    track.unsupported_encoding = match (kind, algorithm, scope) {
        (0, 3, 1..=3) => None,
        (0, 3, scope) => Some(format!("scope {scope}")),
        (0, 0, _) => Some("zlib compression".to_owned()),
        (0, 1, _) => Some("bzlib compression".to_owned()),
        (0, 2, _) => Some("LZO1X compression".to_owned()),
        (0, other, _) => Some(format!("compression algorithm {other}")),
        (1, ..) => Some("encryption".to_owned()),
        (other, ..) => Some(format!("encoding type {other}")),
    };
    if track.unsupported_encoding.is_some() {
        return Ok(());
    }
    if scope & 1 != 0 {
        track.stripped_header = Bytes::copy_from_slice(settings);
    }
    if scope & 2 != 0
        && let Some(private) = &track.codec_private
    {
        track.codec_private = Some([settings, private].concat().into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::writer::{element, unsigned};
    use super::*;

    fn master(id: Id, children: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        element(&mut out, id, &children.concat());
        out
    }

    fn leaf(id: Id, data: &[u8]) -> Vec<u8> {
        master(id, &[data.to_vec()])
    }

    fn number(id: Id, value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        unsigned(&mut out, id, value);
        out
    }

    fn read(entries: &[Vec<u8>]) -> Result<Vec<Track>, Error> {
        parse(&Child { id: Id::TRACKS, offset: 7, data_offset: 12, data: &entries.concat() })
    }

    fn entry(children: &[Vec<u8>]) -> Result<Track, Error> {
        let children = [&[number(Id::TRACK_NUMBER, 1)], children].concat();
        read(&[master(Id::TRACK_ENTRY, &children)]).map(|mut tracks| tracks.remove(0))
    }

    fn plain() -> Track {
        entry(&[]).unwrap()
    }

    #[test]
    fn a_video_track() {
        let colour = [
            number(Id::MATRIX_COEFFICIENTS, 9),
            leaf(Id::TRANSFER_CHARACTERISTICS, b""),
            number(Id::PRIMARIES, 9),
            number(Id::RANGE, 1),
        ];
        let video = [
            number(Id::PIXEL_WIDTH, 640),
            number(Id::PIXEL_HEIGHT, 360),
            number(Id::DISPLAY_WIDTH, 16),
            number(Id::DISPLAY_HEIGHT, 0),
            number(Id::DISPLAY_HEIGHT, 1 << 32),
            number(Id::DISPLAY_UNIT, 3),
            number(Id::FLAG_INTERLACED, 1),
            number(Id::FIELD_ORDER, 6),
            master(Id::COLOUR, &colour),
        ];
        let track = entry(&[
            number(Id::TRACK_UID, u64::MAX),
            number(Id::TRACK_TYPE, 1),
            leaf(Id::CODEC_ID, b"V_MPEG4/ISO/AVC\0\0"),
            leaf(Id::CODEC_PRIVATE, b"private"),
            leaf(Id::NAME, b"garden"),
            leaf(Id::LANGUAGE_BCP47, b"de"),
            leaf(Id::LANGUAGE, b"ger"),
            number(Id::DEFAULT_DURATION, 33_333_333),
            number(Id::CODEC_DELAY, 5),
            master(Id::VIDEO, &video),
            leaf(Id(0x6DE7), &[1]),
        ]);
        let expected = Track {
            number: 1,
            uid: u64::MAX,
            kind: TrackKind::Video(Video {
                pixel_width: 640,
                pixel_height: 360,
                display_width: Some(16),
                display_height: None,
                display_unit: 3,
                interlaced: 1,
                field_order: 6,
                colour: Some(Colour {
                    matrix_coefficients: Some(9),
                    transfer_characteristics: Some(2),
                    primaries: Some(9),
                    range: Some(1),
                }),
            }),
            codec_id: "V_MPEG4/ISO/AVC".into(),
            codec_private: Some(Bytes::from_static(b"private")),
            name: Some("garden".into()),
            language: Some("de".into()),
            default_duration: Some(33_333_333),
            codec_delay: 5,
            stripped_header: Bytes::new(),
            unsupported_encoding: None,
            first_frame: None,
        };
        assert_eq!(track, Ok(expected));
    }

    #[test]
    fn audio_tracks() {
        let audio = |children: &[Vec<u8>]| {
            entry(&[number(Id::TRACK_TYPE, 2), master(Id::AUDIO, children)]).map(|track| track.kind)
        };
        assert_eq!(audio(&[]), Ok(TrackKind::Audio(Audio::default())));
        let empty = [Id::SAMPLING_FREQUENCY, Id::OUTPUT_SAMPLING_FREQUENCY, Id::CHANNELS, Id::BIT_DEPTH];
        assert_eq!(audio(&empty.map(|id| leaf(id, b""))), Ok(TrackKind::Audio(Audio::default())));
        let told = audio(&[
            leaf(Id::SAMPLING_FREQUENCY, &24_000_f32.to_be_bytes()),
            leaf(Id::OUTPUT_SAMPLING_FREQUENCY, &48_000_f64.to_be_bytes()),
            number(Id::CHANNELS, 6),
            number(Id::BIT_DEPTH, 16),
        ]);
        let expected = Audio {
            sampling_frequency: 24_000.0,
            output_sampling_frequency: Some(48_000.0),
            channels: 6,
            bit_depth: Some(16),
        };
        assert_eq!(told, Ok(TrackKind::Audio(expected)));
        for data in [&f64::NAN.to_be_bytes()[..], &(-1_f32).to_be_bytes(), &0_f32.to_be_bytes(), &[0; 3]] {
            let told = audio(&[leaf(Id::OUTPUT_SAMPLING_FREQUENCY, data)]);
            assert_eq!(told, Ok(TrackKind::Audio(Audio::default())));
        }
        for data in [&f64::NAN.to_be_bytes()[..], &(-1_f32).to_be_bytes(), &0_f32.to_be_bytes()] {
            let error = audio(&[leaf(Id::SAMPLING_FREQUENCY, data)]).unwrap_err();
            assert!(matches!(error, Error::InvalidElement { element: Id::SAMPLING_FREQUENCY, .. }));
        }
        let error = audio(&[leaf(Id::SAMPLING_FREQUENCY, &[0; 3])]).unwrap_err();
        assert!(matches!(error, Error::InvalidSize { element: Id::SAMPLING_FREQUENCY, .. }));
    }

    #[test]
    fn other_tracks_and_defaults() {
        assert_eq!(plain().kind, TrackKind::Other(0));
        assert_eq!(entry(&[number(Id::TRACK_TYPE, 17)]).unwrap().kind, TrackKind::Other(17));
        let video = entry(&[number(Id::TRACK_TYPE, 1)]).unwrap().kind;
        assert_eq!(video, TrackKind::Video(Video::default()));
        assert!(matches!(video, TrackKind::Video(Video { field_order: 2, .. })));
        assert_eq!(entry(&[leaf(Id::DEFAULT_DURATION, b"")]), Ok(plain()));
    }

    #[test]
    fn tracks_that_cannot_be() {
        assert!(matches!(read(&[]), Err(Error::InvalidElement { offset: 7, element: Id::TRACKS, .. })));
        for children in [&[][..], &number(Id::TRACK_NUMBER, 0)] {
            let error = read(&[leaf(Id::TRACK_ENTRY, children)]).unwrap_err();
            assert!(matches!(error, Error::InvalidElement { offset: 12, element: Id::TRACK_ENTRY, .. }));
        }
        let video = leaf(Id::VIDEO, &number(Id::PIXEL_WIDTH, 1 << 32));
        assert!(matches!(entry(&[video]), Err(Error::InvalidElement { element: Id::PIXEL_WIDTH, .. })));
        let tracks = |count| read(&[leaf(Id::TRACK_ENTRY, &number(Id::TRACK_NUMBER, 1)).repeat(count)]);
        assert_eq!(tracks(MAX_TRACKS).unwrap().len(), MAX_TRACKS);
        assert!(matches!(tracks(MAX_TRACKS + 1), Err(Error::InvalidElement { element: Id::TRACKS, .. })));
    }

    #[test]
    fn video_stands_first() {
        let entry = |track: u64, kind| [number(Id::TRACK_NUMBER, track), number(Id::TRACK_TYPE, kind)];
        let entries: Vec<_> = [(1, 2), (2, 17), (3, 1), (4, 2), (5, 1)]
            .map(|(track, kind)| master(Id::TRACK_ENTRY, &entry(track, kind)))
            .to_vec();
        let whole =
            |order: &[usize]| master(Id::TRACKS, &order.iter().map(|at| entries[*at].clone()).collect::<Vec<_>>());
        let came = |order: &[usize]| {
            let entries: Vec<_> = order.iter().map(|at| entries[*at].clone()).collect();
            // A checksum would be that of the other order.
            let checked = [leaf(Id::CRC_32, &[1, 2, 3, 4]), entries.concat()];
            Tracks { tracks: read(&entries).unwrap(), raw: master(Id::TRACKS, &checked).into() }
        };
        assert_eq!(came(&[0, 1, 2, 3, 4]).in_order(), whole(&[2, 4, 0, 3, 1]));
        let sorted = came(&[4, 2, 0]);
        assert_eq!(sorted.in_order(), sorted.raw);
    }

    fn encoded(encodings: &[&[Vec<u8>]]) -> Result<Track, Error> {
        let encodings: Vec<_> = encodings.iter().map(|children| master(Id::CONTENT_ENCODING, children)).collect();
        entry(&[master(Id::CONTENT_ENCODINGS, &encodings), leaf(Id::CODEC_PRIVATE, b"private")])
    }

    fn stripping() -> Vec<u8> {
        let settings = leaf(Id::CONTENT_COMP_SETTINGS, b"\0\0\x01");
        master(Id::CONTENT_COMPRESSION, &[number(Id::CONTENT_COMP_ALGO, 3), settings])
    }

    #[test]
    fn header_stripping() {
        let told = |track: Track| (track.stripped_header, track.codec_private.unwrap_or_default());
        let bytes = Bytes::from_static;
        let with_scope = |scope| encoded(&[&[number(Id::CONTENT_ENCODING_SCOPE, scope), stripping()]]).map(told);
        assert_eq!(encoded(&[&[stripping()]]).map(told), Ok((bytes(b"\0\0\x01"), bytes(b"private"))));
        assert_eq!(with_scope(1), Ok((bytes(b"\0\0\x01"), bytes(b"private"))));
        assert_eq!(with_scope(2), Ok((bytes(b""), bytes(b"\0\0\x01private"))));
        assert_eq!(with_scope(3), Ok((bytes(b"\0\0\x01"), bytes(b"\0\0\x01private"))));
        assert_eq!(encoded(&[]).map(told), Ok((bytes(b""), bytes(b"private"))));
    }

    #[test]
    fn every_other_encoding_is_told() {
        let algorithm = |value| leaf(Id::CONTENT_COMPRESSION, &number(Id::CONTENT_COMP_ALGO, value));
        for (encodings, expected) in [
            (&[&[][..]][..], "zlib compression"),
            (&[&[algorithm(0)]], "zlib compression"),
            (&[&[algorithm(1)]], "bzlib compression"),
            (&[&[algorithm(2)]], "LZO1X compression"),
            (&[&[algorithm(9)]], "compression algorithm 9"),
            (&[&[number(Id::CONTENT_ENCODING_TYPE, 1)]], "encryption"),
            (&[&[number(Id::CONTENT_ENCODING_TYPE, 2)]], "encoding type 2"),
            (&[&[stripping(), number(Id::CONTENT_ENCODING_SCOPE, 4)]], "scope 4"),
            (&[&[stripping(), number(Id::CONTENT_ENCODING_SCOPE, 0)]], "scope 0"),
            (&[&[stripping()], &[stripping()]], "more than one encoding"),
        ] {
            let track = encoded(encodings).unwrap();
            assert_eq!(track.unsupported_encoding.as_deref(), Some(expected));
            assert_eq!(
                (track.stripped_header, track.codec_private),
                (Bytes::new(), Some(Bytes::from_static(b"private")))
            );
        }
    }
}
