//! Opus: the OpusHead in CodecPrivate (RFC 7845 section 5.1).

use bytes::Bytes;

use super::audio::Format;
use super::{CapsError, bytes_at, codec_private, stream_header_array};
use crate::mkv::{Audio, Track};

/// An empty comment header, in the words that GStreamer gives one.
const OPUS_TAGS: &[u8] = b"OpusTags\x1f\0\0\0GStreamer encoded vorbiscomment\0\0\0\0\x01";

/// What an OpusHead says of channels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    channels: u8,
    family: u8,
    streams: u8,
    coupled: u8,
    /// Empty for family 0.
    table: Vec<u8>,
}

/// The caps of an Opus track. Without CodecPrivate one or two channels need none.
pub(super) fn structure(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    let Some(private) = codec_private(track) else {
        let format = Format::new(track, audio, None)?;
        let channels = u8::try_from(format.channels)
            .ok()
            .filter(|channels| *channels <= 2)
            .ok_or_else(|| CapsError::missing_codec_private(track))?;
        return Ok(with_mapping(format.rate, &Mapping::implied(channels)).build());
    };
    let invalid = |reason| CapsError::invalid_codec_private(track, reason);
    if !private.starts_with(b"OpusHead") || private.len() < 19 {
        return Err(invalid("not an OpusHead"));
    }
    let mapping = Mapping::parse(private).map_err(invalid)?;
    let rate = u32::from_le_bytes(bytes_at(private, 12).unwrap_or_default());
    let told = (if rate == 0 { 48000 } else { rate }, u32::from(mapping.channels));
    let format = Format::new(track, audio, Some(told))?;
    let headers = [head(private, track.codec_delay, format.rate), Bytes::from_static(OPUS_TAGS)];
    Ok(with_mapping(format.rate, &mapping).field("streamheader", stream_header_array(headers)).build())
}

/// The OpusHead with rate and pre-skip as the track tells them, which outrank it.
fn head(private: &[u8], codec_delay: u64, rate: i32) -> Bytes {
    let mut head = private.to_vec();
    if codec_delay != 0
        && let Some(pre_skip) = head.get_mut(10..12)
    {
        // CodecDelay in samples of 48 kHz, rounded.
        let samples = (u128::from(codec_delay) * 48_000 + 500_000_000) / 1_000_000_000;
        pre_skip.copy_from_slice(&u16::try_from(samples).unwrap_or(u16::MAX).to_le_bytes());
    }
    if let Some(field) = head.get_mut(12..16) {
        field.copy_from_slice(&rate.to_le_bytes());
    }
    head.into()
}

/// The channels are the OpusHead's: a decoder goes by them, whatever the Audio element says.
fn with_mapping(rate: i32, mapping: &Mapping) -> gst::structure::Builder {
    let table = (!mapping.table.is_empty()).then(|| gst::Array::new(mapping.table.iter().map(|at| i32::from(*at))));
    gst::Structure::builder("audio/x-opus")
        .field("rate", rate)
        .field("channels", i32::from(mapping.channels))
        .field("channel-mapping-family", i32::from(mapping.family))
        .field("stream-count", i32::from(mapping.streams))
        .field("coupled-count", i32::from(mapping.coupled))
        .field_if_some("channel-mapping", table)
}

impl Mapping {
    /// Family 0: one stream of one or two channels.
    fn implied(channels: u8) -> Self {
        Self { channels, family: 0, streams: 1, coupled: u8::from(channels == 2), table: Vec::new() }
    }

    fn parse(head: &[u8]) -> Result<Self, &'static str> {
        let [version, channels] = bytes_at(head, 8).unwrap_or_default();
        let [family] = bytes_at(head, 18).unwrap_or_default();
        if version > 1 {
            return Err("OpusHead of an unknown version");
        }
        match (family, channels) {
            (_, 0) => return Err("OpusHead without channels"),
            (0, 1 | 2) => return Ok(Self::implied(channels)),
            (0, _) => return Err("OpusHead with more channels than its mapping family has"),
            _ => {}
        }
        let [streams, coupled] = bytes_at(head, 19).ok_or("OpusHead ends inside its channel mapping")?;
        let table =
            head.get(21..21 + usize::from(channels)).ok_or("OpusHead ends inside its channel mapping")?.to_vec();
        if streams == 0 || coupled > streams {
            return Err("OpusHead with an impossible number of streams");
        }
        Ok(Self { channels, family, streams, coupled, table })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{test, track_caps};
    use super::*;

    fn head(channels: u8, family: u8, mapping: &[u8]) -> Vec<u8> {
        [b"OpusHead\x01", &[channels, 0x38, 1, 0x44, 0xac, 0, 0, 0, 0, family][..], mapping].concat()
    }

    #[test]
    fn the_head_takes_rate_and_pre_skip_of_the_track() {
        let mut track = test::audio("A_OPUS", &head(2, 0, &[]), test::STEREO);
        track.codec_delay = 6_500_000;
        assert_eq!(
            test::caps(&track),
            "audio/x-opus, rate=(int)48000, channels=(int)2, channel-mapping-family=(int)0, stream-count=(int)1, \
             coupled-count=(int)1, streamheader=(buffer)< 4f707573486561640102380180bb0000000000, \
             4f707573546167731f0000004753747265616d657220656e636f64656420766f72626973636f6d6d656e740000000001 >"
        );
        track.codec_delay = u64::MAX;
        let caps = track_caps(&track).expect("caps");
        let headers = caps.structure(0).expect("one structure").get::<gst::Array>("streamheader").expect("headers");
        let head = headers.first().expect("two headers").get::<gst::Buffer>().expect("a buffer");
        assert_eq!(head.map_readable().expect("readable")[10..12], [0xff, 0xff]);
    }

    #[test]
    fn one_or_two_channels_need_no_head() {
        assert_eq!(
            test::caps(&test::audio("A_OPUS", &[], test::STEREO)),
            "audio/x-opus, rate=(int)48000, channels=(int)2, channel-mapping-family=(int)0, stream-count=(int)1, \
             coupled-count=(int)1"
        );
        let error = track_caps(&test::audio("A_OPUS", &[], Audio { channels: 3, ..test::STEREO }));
        assert_eq!(
            error.expect_err("three channels").to_string(),
            "codec A_OPUS needs a CodecPrivate and the track has none"
        );
    }

    #[test]
    fn heads_that_are_none() {
        let mut version = head(2, 0, &[]);
        version[8] = 2;
        for (private, reason) in [
            (b"OpusHead".to_vec(), "not an OpusHead"),
            (head(2, 0, &[]).split_off(1), "not an OpusHead"),
            (version, "OpusHead of an unknown version"),
            (head(0, 0, &[]), "OpusHead without channels"),
            (head(3, 0, &[2, 1, 0, 1, 2]), "OpusHead with more channels than its mapping family has"),
            (head(3, 1, &[2]), "OpusHead ends inside its channel mapping"),
            (head(3, 1, &[2, 1, 0, 1]), "OpusHead ends inside its channel mapping"),
            (head(3, 1, &[1, 2, 0, 1, 2]), "OpusHead with an impossible number of streams"),
            (head(3, 1, &[0, 0, 0, 1, 2]), "OpusHead with an impossible number of streams"),
        ] {
            let error = track_caps(&test::audio("A_OPUS", &private, test::STEREO)).expect_err(reason).to_string();
            assert_eq!(error, format!("CodecPrivate of codec A_OPUS is invalid: {reason}"));
        }
    }
}
