//! How much of a decoded frame is not to be heard: GstAudioClippingMeta.

use gst::format::Default as Samples;

use crate::mkv::{Track, TrackKind};

/// Opus counts in samples of this rate, whatever it was made of and is decoded to (RFC 7845 section 4.2).
const OPUS_RATE: u64 = 48_000;

const SECOND: u128 = 1_000_000_000;

/// The samples of a track whose decoder begins with some that were never recorded (RFC 9559, CodecDelay), and ends with
/// some that fill up its last frame (DiscardPadding).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clipping {
    /// Samples a second.
    rate: u64,
    /// CodecDelay, in ns.
    codec_delay: u64,
}

impl Clipping {
    /// Of a track with these caps; `None` where it is no sound.
    pub fn new(track: &Track, caps: &gst::Caps) -> Option<Self> {
        let structure = caps.structure(0).filter(|_| matches!(track.kind, TrackKind::Audio(_)))?;
        let rate = match structure.name().as_str() {
            "audio/x-opus" => OPUS_RATE,
            _ => u64::try_from(structure.get::<i32>("rate").ok()?).ok()?,
        };
        Some(Self { rate, codec_delay: track.codec_delay })
    }

    /// What of a frame at `time`, in ns, its codec delay included, lies before 0, in ns.
    pub fn before_zero(&self, time: u64) -> u64 {
        self.codec_delay.saturating_sub(time)
    }

    /// Says of a frame how much of it is not to be heard at its beginning and at its end, in ns.
    pub fn put(&self, buffer: &mut gst::Buffer, start: u64, end: u64) {
        let (start, end) = (self.samples(start), self.samples(end));
        if let Some(buffer) = buffer.get_mut().filter(|_| start > 0 || end > 0) {
            gst_audio::AudioClippingMeta::add(buffer, Samples::from_u64(start), Samples::from_u64(end));
        }
    }

    /// Up to a second, since no frame is longer: decoders count in 32 bits.
    fn samples(&self, nanoseconds: u64) -> u64 {
        let samples = (u128::from(nanoseconds) * u128::from(self.rate)).saturating_add(SECOND / 2) / SECOND;
        u64::try_from(samples).unwrap_or(u64::MAX).min(self.rate)
    }
}
