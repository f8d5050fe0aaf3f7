//! GStreamer's side of media: which output downstream takes, and how frames become buffers of it.

mod announcement;
mod buffer;
pub mod caps;
mod claim;
mod container;
mod document;
mod error;
mod fragment_meta;
mod in_band;
mod negotiation;
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
    Track(TrackWriter),
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
    match before {
        Some(Writer::Container(mut writer)) => {
            let left_out =
                writer.go_on(header, if downstream.has_kvsdemux { OnNewTrack::EveryHeader } else { on_new_track });
            Ok((Writer::Container(writer), left_out))
        }
        _ => Ok((choose(header, &downstream.caps, selector, claim)?, Vec::new())),
    }
}
