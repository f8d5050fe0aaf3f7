//! The decoding times of one track's buffers.

use bytes::Bytes;

use super::parameter_sets::{self, ParameterSets};
use crate::fragment::{DecodingTimes, Reordering};
use crate::mkv::Pieces;

/// Which frames of a track come, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// All, as they are decoded.
    #[default]
    Decoding,
    /// Keyframes only, which are in order.
    Keyframes,
    /// Those of later fragments first: what is decoded when is for decoders to find out.
    Backward,
}

impl Order {
    /// That of the frames in a segment.
    pub fn of(segment: &gst::Segment) -> Self {
        if segment.rate() < 0.0 {
            Self::Backward
        } else if segment.flags().contains(gst::SegmentFlags::TRICKMODE_KEY_UNITS) {
            Self::Keyframes
        } else {
            Self::Decoding
        }
    }
}

/// Gives frames of H.264 and H.265 their decoding times, by what their parameter sets say.
#[derive(Debug)]
pub struct Decoding {
    sets: ParameterSets,
    /// What these say; `None` until they have come.
    said: Option<Reordering>,
    /// How long a frame lasts, in ns, where the track says it.
    spacing: Option<u64>,
    times: DecodingTimes,
    order: Order,
    opening: Opening,
}

/// Whether pictures lack those that they are made from: what is decoded behind the first keyframe and shown before it.
#[derive(Clone, Copy, Debug, Default)]
enum Opening {
    /// No keyframe has come.
    #[default]
    Awaited,
    /// The first one was captured at this moment, in ns, and no other has come.
    Begun(i64),
    Over,
}

impl Decoding {
    /// For a track with these caps and CodecPrivate, whose frames last `spacing` ns where it says so; `None` for other
    /// codecs.
    pub fn new(caps: &gst::CapsRef, private: Option<&Bytes>, spacing: Option<u64>) -> Option<Self> {
        let (sets, said) = ParameterSets::new(caps, private)?;
        let (times, order, opening) = (DecodingTimes::default(), Order::default(), Opening::default());
        let spacing = parameter_sets::plausible(spacing);
        let mut this = Self { sets, said: None, spacing, times, order, opening };
        if let Some(said) = said {
            this.take(said);
        }
        Some(this)
    }

    /// Goes on behind the frames of another header.
    pub fn go_on_from(&mut self, before: Self) {
        self.times = before.times;
        self.order = before.order;
        self.opening = before.opening;
        if let Some(said) = self.said {
            self.take(said);
        }
    }

    /// Frames come in this order from now on, with times of their own.
    pub fn play(&mut self, order: Order) {
        self.order = order;
        self.times.restart();
        self.opening = Opening::default();
    }

    /// The same, in the segment at hand.
    pub fn go_on_as(&mut self, order: Order) {
        self.order = order;
    }

    /// Whether a frame that was captured at this moment, in ns, can be decoded. Nothing that is shown behind the first
    /// keyframe needs those that cannot (H.265 section 3, leading picture).
    pub fn wants(&mut self, captured: i64, keyframe: bool) -> bool {
        if self.order != Order::Decoding {
            return true;
        }
        match self.opening {
            Opening::Awaited if keyframe => self.opening = Opening::Begun(captured),
            Opening::Begun(_) if keyframe => self.opening = Opening::Over,
            Opening::Begun(first) => return captured >= first,
            Opening::Awaited | Opening::Over => {}
        }
        true
    }

    /// By how much presentation times must be later than 0, in ns, so that the first decoding time is none before 0.
    pub fn delay(&self) -> u64 {
        match (self.order, self.said) {
            (Order::Decoding, Some(said)) => said.delay(),
            _ => 0,
        }
    }

    /// Looks for news in the next frame.
    pub fn look(&mut self, frame: &Pieces, keyframe: bool) {
        if self.order != Order::Decoding || !(keyframe || self.said.is_none()) {
            return;
        }
        if let Some(said) = self.sets.of_keyframe(frame) {
            self.take(said);
        } else if self.said.is_none() {
            self.take(parameter_sets::unknown());
        }
    }

    /// When that frame is to be decoded, which is shown at `pts`, both in ns.
    pub fn time(&mut self, pts: u64, keyframe: bool, discont: bool) -> Option<u64> {
        match self.order {
            Order::Decoding => self.times.next(pts, keyframe, discont),
            Order::Keyframes => self.times.next_in_order(pts),
            Order::Backward => None,
        }
    }

    fn take(&mut self, said: Reordering) {
        let said = Reordering { spacing: self.spacing.or(said.spacing), ..said };
        self.said = Some(said);
        self.times.set_reordering(said);
    }
}
