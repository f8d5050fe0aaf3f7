//! Reads a Tracks element (RFC 9559 section 5.1.4).

use bytes::Bytes;

use super::children::Child;
use super::error::Error;
use super::ids::Id;
use super::track::{Audio, Colour, Track, TrackKind, Video};

/// TrackEntries in one Tracks element. Kinesis Video allows three; each costs more memory than its bytes.
const MAX_TRACKS: usize = 128;

/// The Tracks element.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracks {
    pub tracks: Vec<Track>,
    /// The whole element as it came, ID and size included.
    pub raw: Bytes,
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
        seek_pre_roll: 0,
        stripped_header: Bytes::new(),
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
            Id::DEFAULT_DURATION => track.default_duration = child.positive()?,
            Id::CODEC_DELAY => track.codec_delay = child.unsigned()?,
            Id::SEEK_PRE_ROLL => track.seek_pre_roll = child.unsigned()?,
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
            Id::DISPLAY_WIDTH => video.display_width = Some(child.pixels()?).filter(|&width| width != 0),
            Id::DISPLAY_HEIGHT => video.display_height = Some(child.pixels()?).filter(|&height| height != 0),
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
            Id::OUTPUT_SAMPLING_FREQUENCY if !child.data.is_empty() => {
                audio.output_sampling_frequency = Some(child.frequency_or(0.0)?);
            }
            Id::CHANNELS => audio.channels = child.unsigned_or(audio.channels)?,
            Id::BIT_DEPTH => audio.bit_depth = child.positive()?,
            _ => {}
        }
    }
    Ok(audio)
}

/// Takes over header stripping and refuses everything else that a consumer would have to undo
/// (RFC 9559 section 5.1.4.1.31).
fn undo_encodings(encodings: &Child, track: &mut Track) -> Result<(), Error> {
    let number = track.number;
    let unsupported = |offset, what: &str| Err(Error::UnsupportedEncoding { offset, track: number, what: what.into() });
    let mut seen = false;
    for encoding in encodings.children() {
        let encoding = encoding?;
        if encoding.id != Id::CONTENT_ENCODING {
            continue;
        }
        if std::mem::replace(&mut seen, true) {
            return unsupported(encoding.offset, "more than one encoding");
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
        let offset = encoding.offset;
        match (kind, algorithm) {
            (0, 3) => {}
            (0, 0) => return unsupported(offset, "zlib compression"),
            (0, 1) => return unsupported(offset, "bzlib compression"),
            (0, 2) => return unsupported(offset, "LZO1X compression"),
            (0, other) => return unsupported(offset, &format!("compression algorithm {other}")),
            (1, _) => return unsupported(offset, "encryption"),
            (other, _) => return unsupported(offset, &format!("encoding type {other}")),
        }
        if !(1..=3).contains(&scope) {
            return unsupported(offset, &format!("scope {scope}"));
        }
        if scope & 1 != 0 {
            track.stripped_header = Bytes::copy_from_slice(settings);
        }
        if scope & 2 != 0
            && let Some(private) = &track.codec_private
        {
            track.codec_private = Some([settings, private].concat().into());
        }
    }
    Ok(())
}
