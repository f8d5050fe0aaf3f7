//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1), found in CodecPrivate or made from the CodecID and the
//! Audio element; or ADTS frames (section 1.A.2.2), which say themselves what they are.

use bytes::Bytes;

use super::CapsError;
use super::audio::Format;
use super::codec_private;
use crate::mkv::{Audio, Track};

/// samplingFrequencyIndex, in Hz.
const SAMPLING_FREQUENCIES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// The audio object type of AAC LC.
const LOW_COMPLEXITY: u8 = 2;

/// What an AudioSpecificConfig says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Configuration {
    /// The audio object type behind SBR and parametric stereo.
    object_type: u32,
    /// channelConfiguration.
    channel_configuration: u32,
    /// Sampling frequency of the core coder, in Hz.
    core_rate: u32,
    /// Sampling frequency with SBR where it is signalled in front, else the core's.
    rate: u32,
    /// The same where it is signalled behind, by a sync extension.
    extension_rate: Option<u32>,
}

/// Whether frames that go with one AudioSpecificConfig sound the same with the other.
pub(in crate::output) fn is_alike(one: &[u8], other: &[u8]) -> bool {
    Configuration::parse(one).is_some_and(|one| Configuration::parse(other) == Some(one))
}

/// A_AAC: CodecPrivate is the AudioSpecificConfig. Without one, the first frame tells whether frames are ADTS's; the
/// Audio element describes what is not.
pub(super) fn structure(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    match (codec_private(track), &track.first_frame) {
        (Some(private), _) => from_private(track, private, audio),
        (None, Some(frame)) => match Header::parse(frame) {
            Some(header) => Ok(adts(header, audio)),
            None => {
                let (codec_data, format) = made(track, audio, LOW_COMPLEXITY, false)?;
                let configuration = Configuration::parse(&codec_data);
                Ok(raw(4, codec_data, configuration, format))
            }
        },
        (None, None) => Err(CapsError::missing_codec_private(track)),
    }
}

fn from_private(track: &Track, private: &Bytes, audio: &Audio) -> Result<gst::Structure, CapsError> {
    if private.len() < 2 {
        return Err(CapsError::invalid_codec_private(track, "shorter than an AudioSpecificConfig"));
    }
    let configuration = Configuration::parse(private);
    let told = configuration.map(|known| (known.core_rate, channels(known.channel_configuration)));
    let mut format = Format::new(track, audio, told)?;
    // As decoders have it. matroskademux 1.22 goes by the Audio element, and doubles that below 32 kHz and for any sync
    // extension, also one that denies SBR.
    format.rate = configuration.and_then(|known| known.rate_of_samples(audio)).unwrap_or(format.rate);
    Ok(raw(4, private.clone(), configuration, format))
}

/// The caps of ADTS frames.
fn adts(header: Header, audio: &Audio) -> gst::Structure {
    // Configuration 0 stands in the frames themselves (program_config_element).
    let channels = u64::from(channels(header.channel_configuration));
    let channels = if channels == 0 { audio.channels } else { channels };
    gst::Structure::builder("audio/mpeg")
        .field("mpegversion", header.version)
        .field("framed", true)
        .field("stream-format", "adts")
        .field("channels", i32::try_from(channels).unwrap_or(1).max(1))
        .field("rate", i32::try_from(doubled(header.rate, audio)).unwrap_or(i32::MAX))
        .build()
}

/// A_AAC/MPEG2 or MPEG4 with the object type in the CodecID: the AudioSpecificConfig is made of it.
pub(super) fn from_codec_id(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    let (version, profile) = match track.codec_id.strip_prefix("A_AAC/").and_then(|rest| rest.split_once('/')) {
        Some(("MPEG2", profile)) => (2, profile),
        Some(("MPEG4", profile)) => (4, profile),
        _ => return Err(CapsError::unsupported_codec(track)),
    };
    let object_type: u8 = match profile {
        "MAIN" => 1,
        "LC" | "LC/SBR" => 2,
        "SSR" => 3,
        "LTP" if version == 4 => 4,
        _ => return Err(CapsError::unsupported_codec(track)),
    };
    let sbr = version == 4 && profile == "LC/SBR";
    let private = codec_private(track).and_then(|private| Configuration::parse(private));
    let (codec_data, format) = made(track, audio, object_type, sbr)?;
    Ok(raw(version, codec_data, private, format))
}

/// An AudioSpecificConfig of what the Audio element says.
fn made(track: &Track, audio: &Audio, object_type: u8, sbr: bool) -> Result<(Bytes, Format), CapsError> {
    let mut format = Format::new(track, audio, None)?;
    let channel_configuration: u8 = match format.channels {
        1 => 1,
        2 => 2,
        3 => 3,
        4 => 4,
        5 => 5,
        6 => 6,
        8 => 7,
        _ => return Err(CapsError::invalid_audio(track, "AAC has no configuration for this number of channels")),
    };
    let index = frequency_index(format.rate);
    let mut made = vec![object_type << 3 | index >> 1, index << 7 | channel_configuration << 3];
    if sbr {
        format.rate = format.rate.saturating_mul(2);
        // syncExtensionType 0x2b7, audio object type 5, sbrPresentFlag, the doubled rate.
        made.extend([0x56, 0xe5, 0x80 | frequency_index(format.rate) << 3]);
    }
    Ok((made.into(), format))
}

fn raw(version: i32, codec_data: Bytes, configuration: Option<Configuration>, format: Format) -> gst::Structure {
    let profile = configuration.and_then(|known| known.profile());
    gst::Structure::builder("audio/mpeg")
        .field("mpegversion", version)
        .field("framed", true)
        .field("stream-format", "raw")
        .field("codec_data", gst::Buffer::from_slice(codec_data))
        .field_if_some("level", configuration.and_then(|known| known.level()))
        .field_if_some("base-profile", profile.filter(|_| version == 4))
        .field_if_some("profile", profile)
        .field("channels", format.channels)
        .field("rate", format.rate)
        .build()
}

/// The rate of samples where no SBR is signalled: the coder's, or double that where the Audio element says that SBR is
/// there all the same (RFC 9559, OutputSamplingFrequency).
fn doubled(rate: u32, audio: &Audio) -> u32 {
    let twice = rate.saturating_mul(2);
    if audio.output_sampling_frequency == Some(f64::from(twice)) { twice } else { rate }
}

/// The samplingFrequencyIndex nearest to a rate (ISO/IEC 14496-3 table 4.82).
fn frequency_index(rate: i32) -> u8 {
    match rate {
        92017.. => 0,
        75132.. => 1,
        55426.. => 2,
        46009.. => 3,
        37566.. => 4,
        27713.. => 5,
        23004.. => 6,
        18783.. => 7,
        13856.. => 8,
        11502.. => 9,
        9391.. => 10,
        _ => 11,
    }
}

/// Channels of a channelConfiguration; 0 where it does not tell.
fn channels(channel_configuration: u32) -> u32 {
    match channel_configuration {
        1..=6 => channel_configuration,
        7 | 12 | 14 => 8,
        11 => 7,
        _ => 0,
    }
}

impl Configuration {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes, position: 0 };
        let mut object_type = bits.object_type()?;
        let core_rate = bits.sampling_frequency()?;
        let channel_configuration = bits.take(4)?;
        let mut rate = core_rate;
        // 5 is SBR, 29 parametric stereo: the rate they give and the coder below them follow.
        if matches!(object_type, 5 | 29) {
            rate = bits.sampling_frequency()?;
            object_type = bits.object_type()?;
        }
        let extension_rate = bits.extension_rate();
        Some(Self { object_type, channel_configuration, core_rate, rate, extension_rate })
    }

    /// The rate of the samples that a decoder makes; `None` where no rate is told.
    fn rate_of_samples(&self, audio: &Audio) -> Option<i32> {
        let rate = if self.rate == self.core_rate { self.extension_rate } else { Some(self.rate) };
        let rate = rate.unwrap_or_else(|| doubled(self.core_rate, audio));
        i32::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    fn profile(&self) -> Option<&'static str> {
        match self.object_type {
            1 => Some("main"),
            2 => Some("lc"),
            3 => Some("ssr"),
            4 => Some("ltp"),
            _ => None,
        }
    }

    /// The level by ISO/IEC 14496-3 tables 1.10 and 1.11: of the AAC profile for LC, else of the Main profile, by the
    /// processor and memory units of section 1.5.2.
    fn level(&self) -> Option<&'static str> {
        let rate = self.rate;
        // Single channel elements, channel pair elements, low frequency elements.
        let (single, pairs, low) = match self.channel_configuration {
            1 => (1, 0, 0),
            2 => (0, 1, 0),
            3 => (1, 1, 0),
            4 => (2, 1, 0),
            5 | 6 => (1, 2, 0),
            7 | 12 | 14 => (1, 3, 1),
            11 => (2, 2, 1),
            _ => return None,
        };
        let (processor_reference, memory_reference) = match self.object_type {
            0 => return None,
            2 => (3, 3),
            3 => (4, 3),
            4 => (4, 4),
            _ => (5, 5),
        };
        let processor = u64::from(rate) * processor_reference * (2 * pairs + single + low) / 48000;
        let memory = memory_reference * (2 * single + low) / 2
            + if pairs < 2 {
                (2 * memory_reference - 1) * pairs
            } else {
                memory_reference + (memory_reference - 1) * (2 * pairs - 1)
            };
        if self.object_type != 2 {
            return match (processor, memory) {
                (0..40, 0..20) => Some("1"),
                (0..80, 0..64) => Some("2"),
                (0..160, 0..128) => Some("3"),
                (0..320, 0..256) => Some("4"),
                _ => None,
            };
        }
        // (level, channels, rate, processor units, memory units), each at most; level 3 does not exist.
        const LEVELS: [(&str, u64, u32, u64, u64); 6] = [
            ("1", 2, 24000, 3, 5),
            ("2", 2, 48000, 6, 5),
            ("4", 5, 48000, 19, 15),
            ("5", 5, 96000, 38, 15),
            ("6", 7, 48000, 25, 19),
            ("7", 7, 96000, 50, 19),
        ];
        let channels = single + 2 * pairs;
        LEVELS
            .iter()
            .find(|(_, most_channels, most_rate, most_processor, most_memory)| {
                channels <= *most_channels
                    && rate <= *most_rate
                    && processor <= *most_processor
                    && memory <= *most_memory
            })
            .map(|(level, ..)| *level)
    }
}

/// What the header of an ADTS frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// 2 or 4: the version of MPEG.
    version: i32,
    rate: u32,
    /// channel_configuration.
    channel_configuration: u32,
}

impl Header {
    /// The header that a frame begins with; `None` where it does not. The syncword is no beginning of a raw frame: there,
    /// three ones are its end.
    fn parse(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: frame, position: 0 };
        let (sync, is_mpeg2, layer) = (bits.take(12)?, bits.take(1)?, bits.take(2)?);
        if sync != 0xfff || layer != 0 {
            return None;
        }
        let (_is_without_crc, _profile, index) = (bits.take(1)?, bits.take(2)?, bits.take(4)?);
        let rate = SAMPLING_FREQUENCIES.get(usize::try_from(index).ok()?).copied()?;
        let (_private, channel_configuration) = (bits.take(1)?, bits.take(3)?);
        Some(Self { version: if is_mpeg2 == 1 { 2 } else { 4 }, rate, channel_configuration })
    }
}

/// Bits of a byte slice, from the top bit of the first byte.
#[derive(Clone, Copy)]
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| {
            let byte = self.bytes.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            self.position += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    /// The sampling frequency of a sync extension that says that SBR is there, anywhere in what follows: between lies what
    /// is the coder's own, whose length only the coder knows.
    fn extension_rate(mut self) -> Option<u32> {
        loop {
            let mut extension = self;
            if extension.take(11)? == 0x2b7 {
                let signals = extension.object_type()? == 5 && extension.take(1)? == 1;
                return if signals { extension.sampling_frequency() } else { None };
            }
            self.take(1)?;
        }
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            object_type => Some(object_type),
        }
    }

    fn sampling_frequency(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => SAMPLING_FREQUENCIES.get(usize::try_from(index).ok()?).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{test, track_caps};
    use super::*;

    #[test]
    fn a_configuration_in_codec_private() {
        assert_eq!(
            test::caps(&test::audio("A_AAC", &[0x11, 0x90], test::STEREO)),
            "audio/mpeg, mpegversion=(int)4, framed=(boolean)true, stream-format=(string)raw, \
             codec_data=(buffer)1190, level=(string)2, base-profile=(string)lc, profile=(string)lc, channels=(int)2, \
             rate=(int)48000"
        );
    }

    #[test]
    fn the_rate_is_that_of_the_samples() {
        let plain = test::STEREO;
        let low = Audio { sampling_frequency: 24000.0, ..test::STEREO };
        let doubled = Audio { output_sampling_frequency: Some(48000.0), ..low.clone() };
        for (private, audio, rate) in [
            // LC at 48 kHz, at 16 kHz, at 8 kHz.
            (&[0x11, 0x90][..], &plain, 48000),
            (&[0x14, 0x10], &plain, 16000),
            (&[0x15, 0x88], &plain, 8000),
            // SBR over LC at 24 kHz, signalled in front, by a sync extension, by the Audio element alone, and not at all.
            (&[0x2b, 0x11, 0x88], &low, 48000),
            (&[0x13, 0x10, 0x56, 0xe5, 0x98], &low, 48000),
            (&[0x13, 0x10], &doubled, 48000),
            (&[0x13, 0x10], &low, 24000),
            // A sync extension that denies it.
            (&[0x11, 0x90, 0x56, 0xe5, 0x00], &plain, 48000),
            // LC at an explicit 48 kHz, then with a sync extension of 96 kHz.
            (&[0x17, 0x80, 0x5d, 0xc0, 0x10], &plain, 48000),
            (&[0x17, 0x80, 0x5d, 0xc0, 0x10, 0x56, 0xe5, 0x80], &plain, 96000),
            // An index that is reserved: what the Audio element says.
            (&[0x16, 0x90], &low, 24000),
        ] {
            let caps = track_caps(&test::audio("A_AAC", private, audio.clone())).expect("caps");
            let structure = caps.structure(0).expect("one structure");
            assert_eq!(structure.get::<i32>("rate"), Ok(rate), "{private:02x?}");
        }
    }

    #[test]
    fn without_codec_private_the_first_frame_tells() {
        let track = |frame: &[u8], audio| {
            let frame = Some(Bytes::copy_from_slice(frame));
            Track { first_frame: frame, ..test::audio("A_AAC", &[], audio) }
        };
        // MPEG-4 LC, 16 kHz, one channel; the Audio element is not asked.
        let adts = track(&[0xff, 0xf1, 0x60, 0x40, 0x01, 0x7f, 0xfc, 0x21], test::STEREO);
        assert_eq!(
            test::caps(&adts),
            "audio/mpeg, mpegversion=(int)4, framed=(boolean)true, stream-format=(string)adts, channels=(int)1, \
             rate=(int)16000"
        );
        // MPEG-2, with a CRC, 44.1 kHz, a configuration of its own.
        let adts = track(&[0xff, 0xf8, 0x50, 0x00, 0x01, 0x7f, 0xfc, 0x21], test::STEREO);
        assert_eq!(
            test::caps(&adts),
            "audio/mpeg, mpegversion=(int)2, framed=(boolean)true, stream-format=(string)adts, channels=(int)2, \
             rate=(int)44100"
        );
        // Raw frames, one of MPEG audio that no AAC track has, and none.
        for frame in [&[0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c][..], &[0xff, 0xfb, 0x90, 0x64], &[0xff], &[]] {
            assert_eq!(
                test::caps(&track(frame, test::STEREO)),
                "audio/mpeg, mpegversion=(int)4, framed=(boolean)true, stream-format=(string)raw, \
                 codec_data=(buffer)1190, level=(string)2, base-profile=(string)lc, profile=(string)lc, \
                 channels=(int)2, rate=(int)48000"
            );
        }
    }

    #[test]
    fn codec_private_knows_more_than_a_missing_audio_element() {
        let caps = track_caps(&test::audio("A_AAC", &[0x11, 0x90], Audio::default())).expect("caps");
        let structure = caps.structure(0).expect("one structure");
        assert_eq!((structure.get("rate"), structure.get("channels")), (Ok(48000), Ok(2)));
    }

    #[test]
    fn a_configuration_made_of_the_codec_id() {
        assert_eq!(
            test::caps(&test::audio("A_AAC/MPEG4/LC/SBR", &[], Audio { sampling_frequency: 24000.0, ..test::STEREO })),
            "audio/mpeg, mpegversion=(int)4, framed=(boolean)true, stream-format=(string)raw, \
             codec_data=(buffer)131056e598, channels=(int)2, rate=(int)48000"
        );
        assert_eq!(
            test::caps(&test::audio("A_AAC/MPEG2/MAIN", &[], Audio { channels: 6, ..test::STEREO })),
            "audio/mpeg, mpegversion=(int)2, framed=(boolean)true, stream-format=(string)raw, \
             codec_data=(buffer)09b0, channels=(int)6, rate=(int)48000"
        );
    }

    #[test]
    fn what_cannot_be_described() {
        for (codec_id, private, channels, expected) in [
            ("A_AAC", &[][..], 2, "codec A_AAC needs a CodecPrivate and the track has none"),
            ("A_AAC", &[0x11], 2, "CodecPrivate of codec A_AAC is invalid: shorter than an AudioSpecificConfig"),
            ("A_AAC/MPEG4/HE", &[], 2, "codec A_AAC/MPEG4/HE has no elementary format"),
            ("A_AAC/MPEG2/LTP", &[], 2, "codec A_AAC/MPEG2/LTP has no elementary format"),
            (
                "A_AAC/MPEG4/LC",
                &[],
                7,
                "Audio element of codec A_AAC/MPEG4/LC is invalid: AAC has no configuration for this number of channels",
            ),
        ] {
            let error = track_caps(&test::audio(codec_id, private, Audio { channels, ..test::STEREO }));
            assert_eq!(error.expect_err(expected).to_string(), expected);
        }
    }

    #[test]
    fn levels() {
        let level = |object_type, channel_configuration, rate| {
            let core_rate = rate;
            Configuration { object_type, channel_configuration, core_rate, rate, extension_rate: None }.level()
        };
        assert_eq!(level(2, 1, 8000), Some("1"));
        assert_eq!(level(2, 2, 24000), Some("1"));
        assert_eq!(level(2, 2, 48000), Some("2"));
        assert_eq!(level(2, 6, 48000), Some("4"));
        assert_eq!(level(2, 6, 96000), Some("5"));
        assert_eq!(level(2, 7, 48000), Some("6"));
        assert_eq!(level(2, 7, 96000), Some("7"));
        assert_eq!(level(1, 6, 48000), Some("2"));
        assert_eq!(level(2, 2, 0xff_ffff), None);
        assert_eq!(level(2, 0, 48000), None);
        assert_eq!(level(0, 2, 48000), None);
    }
}
