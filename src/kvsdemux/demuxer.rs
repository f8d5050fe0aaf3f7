//! What the streaming thread does: upstream's buffers and events to those of the pads.

use std::sync::Arc;

use gst::prelude::*;

use super::control::{Control, Time};
use super::error::Stop;
use super::reading::{Reading, Step};
use super::streams::Streams;
use super::{KvsDemux, imp};
use crate::fragment::FragmentEnd;
use crate::output::{Announcement, TrackCaps};

/// Events that are kept until there are pads, at most: those of a fragment or two.
const MAX_HELD: usize = 64;

/// From one stream-start to the end.
pub struct Demuxer {
    control: Arc<Control>,
    reading: Reading,
    streams: Streams,
    /// What is told of fragments of which upstream does not tell.
    announcement: Announcement,
    /// Upstream's stream id, once it has told.
    id: Option<String>,
    /// A segment of upstream, or one of its own, holds.
    in_segment: bool,
    /// What is to go out on the first pads.
    held: Vec<gst::Event>,
}

impl Demuxer {
    pub fn new(control: Arc<Control>, claim: TrackCaps, drops_duplicates: bool) -> Self {
        let own = own_segment(gst::Seqnum::next());
        Self {
            control,
            reading: Reading::new(false, drops_duplicates),
            streams: Streams::new(own, claim),
            announcement: Announcement::new(None),
            id: None,
            in_segment: false,
            held: Vec::new(),
        }
    }

    /// A stream begins. Where it is another one, so do header and pads.
    pub fn begin_stream(&mut self, event: &gst::event::StreamStart) {
        if let Some(group) = event.group_id() {
            self.streams.set_group(group);
        }
        let id = Some(event.stream_id().to_owned());
        if self.id != id {
            self.id = id;
            self.reading = self.reading.renewed(self.reading.is_timed_by_upstream());
            self.announcement = Announcement::new(None);
            self.streams.set_fragment_tags(None);
        }
    }

    /// A segment begins: upstream's own where it has times, else one that begins at 0.
    pub fn begin_segment(&mut self, event: &gst::event::Segment) {
        let timed = event.segment().format() == gst::Format::Time;
        if timed != self.reading.is_timed_by_upstream() {
            self.reading = self.reading.renewed(timed);
        }
        self.begin_segment_as(timed, if timed { event.to_owned().into() } else { own_segment(event.seqnum()) });
    }

    /// Upstream says something of the stream. What it says of its one pad is not true of any track.
    pub fn tell(&mut self, event: &gst::event::Tag) {
        if event.tag().scope() == gst::TagScope::Global {
            self.streams.set_tags(event.tag_owned());
        }
    }

    /// Upstream has nothing for a while.
    pub fn gap(&mut self, event: &gst::event::Gap) {
        let (start, duration) = event.get();
        let end = start.saturating_add(duration.unwrap_or(gst::ClockTime::ZERO));
        self.streams.silent_until(end.nseconds());
        self.streams.push_event(&event.to_owned().into());
    }

    /// Any other event that comes in order.
    pub fn pass(&mut self, event: gst::Event) {
        if self.streams.is_empty() {
            // Sticky ones are fetched from the sink pad.
            if !event.is_sticky() && self.held.len() < MAX_HELD {
                self.held.push(event);
            }
        } else {
            self.streams.push_event(&event);
        }
    }

    /// All data on the way was thrown away, and new data begins, anywhere.
    pub fn flush(&mut self, event: &gst::Event) {
        self.streams.push_event(event);
        self.reading.restart();
        self.streams.flush();
        self.in_segment = false;
        self.held.clear();
    }

    /// Nothing more comes.
    ///
    /// # Errors
    ///
    /// Nothing has.
    pub fn end(&mut self, element: &KvsDemux, event: &gst::Event) -> Result<(), Stop> {
        let mut steps = Vec::new();
        let cut = self.reading.finish(&mut steps);
        self.follow(element, steps)?;
        if let Err(loss) = cut {
            loss.warn(element);
        }
        if self.streams.is_empty() {
            return Err(self.streams.why_empty().into());
        }
        self.streams.push_event(event);
        Ok(())
    }

    /// Takes a buffer of upstream.
    ///
    /// # Errors
    ///
    /// The stream cannot be read on, or downstream wants no more.
    pub fn push(&mut self, element: &KvsDemux, buffer: gst::Buffer) -> Result<(), Stop> {
        if !self.in_segment {
            self.begin_segment_as(false, own_segment(gst::Seqnum::next()));
        }
        if let Some(selection) = self.control.take_selection() {
            self.streams.select(element, &selection)?;
        }
        let mut steps = Vec::new();
        let result = self.reading.read(buffer, &mut steps);
        self.follow(element, steps)?;
        result.map_err(Stop::from)
    }

    fn follow(&mut self, element: &KvsDemux, steps: Vec<Step>) -> Result<(), Stop> {
        for step in steps {
            match step {
                Step::Break => self.streams.interrupt(),
                Step::Fragment(opening) => {
                    let fragment = &opening.fragment;
                    gst::log!(
                        imp::CAT,
                        obj = element,
                        "Fragment {} at {} ns",
                        fragment.number.as_ref().map_or("without number", |number| number.as_str()),
                        fragment.start()
                    );
                    if !opening.is_told {
                        self.announcement.begin(fragment);
                    }
                    let had_pads = !self.streams.is_empty();
                    self.streams.begin_fragment(element, &self.control, &opening)?;
                    if !had_pads && !self.streams.is_empty() {
                        for event in std::mem::take(&mut self.held) {
                            self.streams.push_event(&event);
                        }
                    }
                }
                Step::Block(arrival) => {
                    gst::trace!(
                        imp::CAT,
                        obj = element,
                        "Block of track {} at {} ns",
                        arrival.timed.block.track,
                        arrival.timed.pts
                    );
                    self.control.moved_to(arrival.timed.pts);
                    if self.announcement.is_fresh()
                        && let Some(tags) = self.announcement.first_frame(&arrival.timed)
                    {
                        self.streams.set_fragment_tags(Some(tags));
                    }
                    self.announcement.count(arrival.timed.track, arrival.timed.block.frame_count());
                    self.streams.block(&arrival)?;
                }
                Step::Dropped(dropped) => gst::info!(imp::CAT, obj = element, "{dropped}"),
                Step::End(end) => self.end_fragment(element, &end),
            }
        }
        Ok(())
    }

    /// A fragment is whole, of which upstream does not tell.
    fn end_fragment(&mut self, element: &KvsDemux, end: &FragmentEnd) {
        if let Some(structure) = self.announcement.end(end) {
            self.pass(gst::event::CustomDownstream::new(structure.clone()));
            // Fails only where nobody has a bus to listen to.
            let _ = element.post_message(gst::message::Element::builder(structure).src(element).build());
        }
    }

    fn begin_segment_as(&mut self, timed: bool, segment: gst::Event) {
        self.in_segment = true;
        self.control.set_time(if timed { Time::Upstream } else { Time::Own { position: None } });
        self.streams.set_segment(segment);
    }
}

/// A segment from 0 on, for a stream that the element times itself.
fn own_segment(seqnum: gst::Seqnum) -> gst::Event {
    gst::event::Segment::builder(&gst::FormattedSegment::<gst::ClockTime>::new()).seqnum(seqnum).build()
}
