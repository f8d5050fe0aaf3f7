//! Parameter sets that change in mid-stream: from CodecPrivate into the frames, in the framing of the document's header.

use bytes::Bytes;

use super::caps::has_start_code;
use crate::mkv::{Pieces, Track};

/// What becomes of a track's frames where its CodecPrivate is not that of the document's header.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InBand {
    /// What goes before each keyframe, in the document's framing.
    front: Bytes,
    framing: Framing,
}

/// How frames lie in their blocks.
#[derive(Clone, Debug, PartialEq)]
enum Framing {
    /// As units that nobody looks into.
    Plain,
    /// As NAL units behind start codes.
    StartCodes(Codec),
    /// As NAL units behind their lengths, of so many bytes as they come and as they are written.
    Lengths { codec: Codec, from: usize, to: usize },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Codec {
    H264,
    H265,
}

/// What a CodecPrivate of H.264 or H.265 says of the frames.
enum Layout {
    StartCodes,
    Lengths { bytes: usize, sets: Vec<Bytes> },
}

/// How frames of `track` go on in a document whose header has `document` in the place of it; `None`: they do not.
pub(super) fn in_band(document: &Track, track: &Track) -> Option<InBand> {
    let private = track.codec_private.clone().unwrap_or_default();
    match track.codec_id.as_str() {
        "V_MPEG4/ISO/AVC" => nal_units(Codec::H264, document, private),
        "V_MPEGH/ISO/HEVC" => nal_units(Codec::H265, document, private),
        // Behind the four bytes of an AV1CodecConfigurationRecord lie open bitstream units that say their own length.
        "V_AV1" => Some(InBand {
            front: private.get(4..).map_or(Bytes::new(), |_| private.slice(4..)),
            framing: Framing::Plain,
        }),
        // Sequence and object headers with start codes, as they stand in the stream itself.
        "V_MPEG1" | "V_MPEG2" | "V_MPEG4/ISO/SP" | "V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/AP" => {
            Some(InBand { front: private, framing: Framing::Plain })
        }
        _ => None,
    }
}

fn nal_units(codec: Codec, document: &Track, private: Bytes) -> Option<InBand> {
    match (layout(codec, document.codec_private.as_ref())?, layout(codec, Some(&private))?) {
        (Layout::StartCodes, Layout::StartCodes) => {
            Some(InBand { front: private, framing: Framing::StartCodes(codec) })
        }
        // A length of fewer bytes may be too short for a unit.
        (Layout::Lengths { bytes: to, .. }, Layout::Lengths { bytes: from, sets }) if from <= to => {
            let mut front = Vec::new();
            for set in sets {
                front.extend_from_slice(&length(set.len(), to)?);
                front.extend_from_slice(&set);
            }
            Some(InBand { front: front.into(), framing: Framing::Lengths { codec, from, to } })
        }
        _ => None,
    }
}

/// Reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) or an HEVCDecoderConfigurationRecord
/// (section 8.3.3.1), or parameter sets with start codes.
fn layout(codec: Codec, private: Option<&Bytes>) -> Option<Layout> {
    let Some(private) = private.filter(|private| !private.is_empty() && !has_start_code(private)) else {
        return Some(Layout::StartCodes);
    };
    let mut record = Record { bytes: private, at: 0 };
    let mut sets = Vec::new();
    let bytes = match codec {
        Codec::H264 => {
            record.at = 4;
            let bytes = usize::from(record.byte()? & 3) + 1;
            for mask in [0x1F, 0xFF] {
                let count = record.byte()? & mask;
                for _ in 0..count {
                    sets.push(record.set()?);
                }
            }
            bytes
        }
        Codec::H265 => {
            record.at = 21;
            let bytes = usize::from(record.byte()? & 3) + 1;
            let arrays = record.byte()?;
            for _ in 0..arrays {
                record.byte()?;
                let count = u16::from_be_bytes([record.byte()?, record.byte()?]);
                for _ in 0..count {
                    sets.push(record.set()?);
                }
            }
            bytes
        }
    };
    Some(Layout::Lengths { bytes, sets })
}

struct Record<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Record<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at = self.at.saturating_add(1);
        byte
    }

    /// A parameter set behind its length.
    fn set(&mut self) -> Option<Bytes> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let set = self.bytes.slice(self.at..end);
        self.at = end;
        Some(set)
    }
}

impl InBand {
    /// The frame as it is written; `None`: as it came. Its bytes are shared.
    pub fn frame(&self, frame: &Pieces, keyframe: bool) -> Option<Pieces> {
        let front = if keyframe { self.front.clone() } else { Bytes::new() };
        let mut written = Vec::with_capacity(frame.piece_count().saturating_add(2));
        let rest = match self.framing {
            Framing::Lengths { codec, from, to } if from != to => {
                self.relengthened(frame, codec, (from, to), &front, &mut written);
                return Some(written.into());
            }
            _ if front.is_empty() => return None,
            Framing::Plain => 0,
            Framing::StartCodes(codec) => delimiter_with_start_code(frame, codec),
            Framing::Lengths { codec, from, .. } => delimiter_with_length(frame, codec, from),
        };
        // An access unit delimiter stays the first in its unit.
        written.extend(pieces(frame, 0, rest));
        written.push(front);
        written.extend(pieces(frame, rest, frame.len()));
        Some(written.into())
    }

    /// The frame with lengths of more bytes.
    fn relengthened(
        &self,
        frame: &Pieces,
        codec: Codec,
        (from, to): (usize, usize),
        front: &Bytes,
        written: &mut Vec<Bytes>,
    ) {
        let behind_delimiter = delimiter_with_length(frame, codec, from);
        let mut at = 0;
        loop {
            if at == behind_delimiter && !front.is_empty() {
                written.push(front.clone());
            }
            if at >= frame.len() {
                return;
            }
            let begin = at.saturating_add(from);
            let unit = number(frame, at, from);
            let end = begin.saturating_add(unit);
            let Some(length) = length(unit, to).filter(|_| end <= frame.len()) else {
                // Broken: as it came.
                written.extend(pieces(frame, at, frame.len()));
                return;
            };
            written.push(length.into());
            written.extend(pieces(frame, begin, end));
            at = end;
        }
    }
}

impl Codec {
    /// Whether a NAL unit with this first byte is an access unit delimiter, and how long one is.
    fn delimiter(self, first: u8) -> Option<usize> {
        match self {
            Self::H264 if first & 0x1F == 9 => Some(2),
            Self::H265 if first >> 1 & 0x3F == 35 => Some(3),
            _ => None,
        }
    }
}

/// Where the frame goes on behind an access unit delimiter that it begins with; 0 without one.
fn delimiter_with_start_code(frame: &Pieces, codec: Codec) -> usize {
    let start = frame.slice(0..5).to_bytes();
    let code = if start.starts_with(&[0, 0, 1]) {
        3
    } else if start.starts_with(&[0, 0, 0, 1]) {
        4
    } else {
        return 0;
    };
    start.get(code).and_then(|first| codec.delimiter(*first)).map_or(0, |length| code + length)
}

fn delimiter_with_length(frame: &Pieces, codec: Codec, bytes: usize) -> usize {
    let first = frame.slice(bytes..bytes.saturating_add(1)).to_bytes();
    let is_delimiter = first.first().is_some_and(|first| codec.delimiter(*first).is_some());
    let end = bytes.saturating_add(number(frame, 0, bytes));
    if is_delimiter && end <= frame.len() { end } else { 0 }
}

/// A number of up to 4 bytes.
fn number(frame: &Pieces, at: usize, bytes: usize) -> usize {
    let digits = frame.slice(at..at.saturating_add(bytes)).to_bytes();
    digits.iter().take(4).fold(0_usize, |value, digit| value << 8 | usize::from(*digit))
}

/// A length in so many bytes, 1 to 4, where it fits.
fn length(value: usize, bytes: usize) -> Option<Vec<u8>> {
    let value = u32::try_from(value).ok()?.to_be_bytes();
    let (over, kept) = value.split_at_checked(4_usize.checked_sub(bytes)?)?;
    over.iter().all(|byte| *byte == 0).then(|| kept.to_vec())
}

fn pieces(frame: &Pieces, from: usize, to: usize) -> Vec<Bytes> {
    frame.slice(from..to).iter().filter(|piece| !piece.is_empty()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::caps::test;
    use super::*;

    const SPS: &[u8] = &[0x67, 1, 2];
    const PPS: &[u8] = &[0x68, 3];

    /// An avcC with lengths of so many bytes.
    fn avcc(bytes: u8, sps: &[u8]) -> Vec<u8> {
        let set = |set: &[u8]| [&u16::try_from(set.len()).unwrap().to_be_bytes(), set].concat();
        [&[1, 66, 0, 10, 0xFC | (bytes - 1), 0xE1][..], &set(sps), &[1], &set(PPS)].concat()
    }

    fn avc(private: &[u8]) -> Track {
        test::video("V_MPEG4/ISO/AVC", private)
    }

    fn split(bytes: &[u8], step: usize) -> Pieces {
        bytes.chunks(step).map(Bytes::copy_from_slice).collect::<Vec<_>>().into()
    }

    /// What becomes of a frame, in whatever pieces it comes.
    fn frame(in_band: &InBand, bytes: &[u8], keyframe: bool) -> Vec<u8> {
        let all: Vec<_> = [1, 2, 1000]
            .map(|step| {
                in_band.frame(&split(bytes, step), keyframe).map_or(bytes.to_vec(), |frame| frame.to_bytes().to_vec())
            })
            .to_vec();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        all[0].clone()
    }

    #[test]
    fn sets_go_before_a_keyframe_and_behind_a_delimiter() {
        let in_band = in_band(&avc(&avcc(4, &[0x67, 9])), &avc(&avcc(4, SPS))).unwrap();
        let sets = [&[0, 0, 0, 3], SPS, &[0, 0, 0, 2], PPS].concat();
        let (delimiter, slice) = ([0, 0, 0, 2, 9, 0xF0], [0, 0, 0, 2, 0x65, 7]);
        assert_eq!(frame(&in_band, &slice, true), [&sets[..], &slice].concat());
        assert_eq!(frame(&in_band, &slice, false), slice);
        let both = [delimiter, slice].concat();
        assert_eq!(frame(&in_band, &both, true), [&delimiter[..], &sets, &slice].concat());
        assert_eq!(frame(&in_band, &[], true), sets);
    }

    #[test]
    fn lengths_are_those_of_the_header() {
        let wider = in_band(&avc(&avcc(4, SPS)), &avc(&avcc(2, SPS))).unwrap();
        let came = [0, 2, 9, 0xF0, 0, 3, 0x65, 7, 8, 0, 1, 0x65];
        let sets = [&[0, 0, 0, 3], SPS, &[0, 0, 0, 2], PPS].concat();
        let (delimiter, rest) = ([0, 0, 0, 2, 9, 0xF0], [0, 0, 0, 3, 0x65, 7, 8, 0, 0, 0, 1, 0x65]);
        assert_eq!(frame(&wider, &came, false), [&delimiter[..], &rest].concat());
        assert_eq!(frame(&wider, &came, true), [&delimiter[..], &sets, &rest].concat());
        assert_eq!(frame(&wider, &came[4..], true), [&sets[..], &rest].concat());
        // A unit that leads out of its frame.
        assert_eq!(frame(&wider, &[0, 9, 0x65], false), [0, 9, 0x65]);
        assert_eq!(in_band(&avc(&avcc(2, SPS)), &avc(&avcc(4, SPS))), None);
    }

    #[test]
    fn start_codes() {
        let sets = [&[0, 0, 0, 1], SPS, &[0, 0, 0, 1], PPS].concat();
        let in_band = in_band(&avc(&[]), &avc(&sets)).unwrap();
        let (delimiter, slice) = ([0, 0, 1, 9, 0xF0], [0, 0, 0, 1, 0x65, 7]);
        assert_eq!(frame(&in_band, &slice, true), [&sets[..], &slice].concat());
        assert_eq!(frame(&in_band, &[&delimiter[..], &slice].concat(), true), [&delimiter[..], &sets, &slice].concat());
        assert_eq!(frame(&in_band, &slice, false), slice);
        assert_eq!(super::in_band(&avc(&avcc(4, SPS)), &avc(&sets)), None);
        assert_eq!(super::in_band(&avc(&sets), &avc(&avcc(4, SPS))), None);
    }

    #[test]
    fn h265_sets_of_all_arrays() {
        let hvcc = |set: &[u8]| {
            let mut private = vec![1; 21];
            private.extend([0xFF, 2, 0x20, 0, 1, 0, 2]);
            private.extend(set);
            private.extend([0x21, 0, 2, 0, 1, 7, 0, 1, 8]);
            test::video("V_MPEGH/ISO/HEVC", &private)
        };
        let in_band = in_band(&hvcc(&[1, 1]), &hvcc(&[0x40, 5])).unwrap();
        let sets = [0, 0, 0, 2, 0x40, 5, 0, 0, 0, 1, 7, 0, 0, 0, 1, 8];
        let (delimiter, slice) = ([0, 0, 0, 3, 0x46, 1, 0x50], [0, 0, 0, 3, 0x26, 1, 7]);
        assert_eq!(frame(&in_band, &[delimiter, slice].concat(), true), [&delimiter[..], &sets, &slice].concat());
    }

    #[test]
    fn records_that_end_too_soon_go_nowhere() {
        let whole = avcc(4, SPS);
        for end in 1..whole.len() {
            assert_eq!(in_band(&avc(&whole), &avc(&whole[..end])), None, "{end}");
        }
    }
}
