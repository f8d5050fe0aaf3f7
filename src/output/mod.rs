//! GStreamer's side of media: which output downstream takes, and how frames become buffers of it.

mod announcement;
mod buffer;
pub mod caps;
mod claim;
mod clipping;
mod container;
mod decoding;
mod document;
mod error;
mod fragment_meta;
mod in_band;
mod negotiation;
mod parameter_sets;
mod time;
mod track;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::fragment::{Fragment, FragmentEnd, Header, TimedBlock};

pub use announcement::Announcement;
pub(crate) use announcement::frames_structure;
pub(crate) use buffer::{captured, is_capture_time, set_captured};
pub use caps::elementary_template_caps;
pub use claim::{TrackCaps, track_caps_property};
pub(crate) use container::asks_for_kvsdemux;
pub use container::{ContainerWriter, OnNewTrack, template_caps as container_template_caps};
pub use decoding::Order;
pub use document::LeftOut;
pub use error::Error;
pub use fragment_meta::FragmentMeta;
pub use negotiation::{Downstream, TrackSelector, choose};
pub(crate) use time::clock_time;
pub use track::TrackWriter;

/// What goes to the pad, in order.
#[derive(Debug)]
pub enum Item {
    Caps(gst::Caps),
    Buffer(gst::Buffer),
}

/// What waits to go to the pad.
pub type Queue = VecDeque<Item>;

/// One way of writing frames to a pad.
#[derive(Debug)]
pub enum Writer {
    /// All tracks as one Matroska stream.
    Container(ContainerWriter),
    /// The frames of one track.
    Track(Box<TrackWriter>),
}

/// What kinds of track a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    pub video: bool,
    pub audio: bool,
}

impl Writer {
    /// What goes out.
    pub fn kinds(&self) -> Kinds {
        match self {
            Self::Container(writer) => writer.kinds(),
            Self::Track(writer) => writer.kinds(),
        }
    }

    /// Frames come in this order from now on, in a segment of their own.
    pub fn play(&mut self, order: Order) {
        if let Self::Track(writer) = self {
            writer.play(order);
        }
    }

    /// The same, where the segment goes on.
    pub fn go_on_as(&mut self, order: Order) {
        if let Self::Track(writer) = self {
            writer.go_on_as(order);
        }
    }

    /// By how many ns the times of buffers are later than presentation times, see [`TrackWriter::later`].
    pub fn later(&self) -> u64 {
        match self {
            Self::Container(_) => 0,
            Self::Track(writer) => writer.later(),
        }
    }

    /// A fragment begins, under the header that the writer was chosen for.
    pub fn begin_fragment(&mut self, fragment: &Arc<Fragment>, queue: &mut Queue) {
        match self {
            Self::Container(writer) => writer.begin_fragment(fragment),
            Self::Track(writer) => writer.begin_fragment(fragment, queue),
        }
    }

    /// A block of that fragment comes: what has to go out before anything else; whether anything has.
    pub fn open(&mut self, first: &TimedBlock, queue: &mut Queue) -> bool {
        match self {
            Self::Container(writer) => writer.open(first, queue),
            Self::Track(_) => false,
        }
    }

    /// The fragment that began last is whole, or one without frames.
    pub fn end_fragment(&mut self, end: &FragmentEnd, queue: &mut Queue) {
        match self {
            Self::Container(writer) => writer.end_fragment(end, queue),
            Self::Track(_) => {}
        }
    }

    /// A block of that fragment, behind what [`Writer::open`] gives.
    pub fn write(&mut self, block: &TimedBlock, queue: &mut Queue) {
        match self {
            Self::Container(writer) => writer.write(block, queue),
            Self::Track(writer) => writer.write(block, queue),
        }
    }
}

/// Every format that a source pad can have: Matroska first, so that who takes anything takes that.
pub fn template_caps() -> gst::Caps {
    let mut caps = container::template_caps();
    caps.merge(elementary_template_caps());
    caps
}

/// The writer for frames under `header`, in the way that `downstream` takes and, once the stream runs, in the way it
/// has been written before; and the tracks that it leaves out from now on.
///
/// # Errors
///
/// See [`choose`].
pub fn writer(
    header: &Arc<Header>,
    downstream: &Downstream,
    selector: Option<&TrackSelector>,
    claim: &TrackCaps,
    on_new_track: OnNewTrack,
    before: Option<Writer>,
) -> Result<(Writer, Vec<LeftOut>), Error> {
    let choose = || choose(header, &downstream.caps, selector, claim);
    match before {
        Some(Writer::Container(mut writer)) => {
            let on_new_track = if downstream.has_kvsdemux { OnNewTrack::EveryHeader } else { on_new_track };
            let left_out = writer.go_on(header, on_new_track);
            Ok((Writer::Container(writer), left_out))
        }
        Some(Writer::Track(before)) => {
            let mut writer = choose()?;
            if let Writer::Track(writer) = &mut writer {
                writer.go_on_from(*before);
            }
            Ok((writer, Vec::new()))
        }
        None => Ok((choose()?, Vec::new())),
    }
}

/// Moves a segment whose buffers are later by other so many ns than before; running and stream time stay as they are.
pub fn move_segment(segment: &mut gst::FormattedSegment<gst::ClockTime>, before: u64, later: u64) {
    let moved = |time: Option<gst::ClockTime>| {
        time.and_then(|time| clock_time(time.nseconds().saturating_sub(before).saturating_add(later)))
    };
    let (start, stop, position) = (moved(segment.start()), moved(segment.stop()), moved(segment.position()));
    segment.set_start(start);
    segment.set_stop(stop);
    segment.set_position(position);
}
