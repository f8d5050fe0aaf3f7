//! The pad of one track.

use gst::prelude::*;

use super::reading::{Arrival, Opening};
use super::silence::{Silence, SilentRun};
use crate::mkv::Track;
use crate::output::{self, Item, Order, Queue, TrackWriter, clock_time};

/// What downstream says of a buffer.
pub type Flow = Result<gst::FlowSuccess, gst::FlowError>;

/// Pushes the frames of one track.
#[derive(Debug)]
pub struct Outlet {
    pub pad: gst::Pad,
    writer: TrackWriter,
    codec_delay: u64,
    /// What buffers go out in, as it came, and by how many ns it was made later on this pad.
    segment: gst::Event,
    later: u64,
    hearing: Hearing,
    /// The next buffer is the first one, or the first behind a break.
    discont: bool,
    /// Added in the middle of a stream: what comes before the next keyframe cannot be decoded.
    waits_for_keyframe: bool,
    queue: Queue,
}

/// What is known of the silence of the track.
#[derive(Debug)]
enum Hearing {
    Forward(Silence),
    Backward(SilentRun),
}

impl Hearing {
    fn new(backward: bool) -> Self {
        if backward { Self::Backward(SilentRun::default()) } else { Self::Forward(Silence::default()) }
    }
}

impl Outlet {
    /// An outlet for the track with this index and these caps, whose segment is still to be pushed.
    pub fn new(pad: gst::Pad, index: usize, track: &Track, caps: &gst::Caps, segment: gst::Event) -> Self {
        let mut this = Self {
            pad,
            writer: TrackWriter::new(index, track, caps.clone()),
            codec_delay: track.codec_delay,
            segment,
            later: 0,
            hearing: Hearing::new(false),
            discont: true,
            waits_for_keyframe: false,
            queue: Queue::new(),
        };
        this.play();
        this
    }

    /// Goes on under another header.
    pub fn renew(&mut self, index: usize, track: &Track, caps: &gst::Caps) {
        let before = std::mem::replace(&mut self.writer, TrackWriter::new(index, track, caps.clone()));
        self.writer.go_on_from(before);
        self.codec_delay = track.codec_delay;
    }

    /// Begins no sooner than with a keyframe.
    pub fn wait_for_keyframe(&mut self) {
        self.waits_for_keyframe = true;
    }

    /// What comes next does not go on where the last buffer ended.
    pub fn interrupt(&mut self) {
        self.discont = true;
        self.writer.interrupt();
        self.hearing = Hearing::new(matches!(self.hearing, Hearing::Backward(_)));
    }

    /// What comes next comes in this segment.
    pub fn begin_segment(&mut self, segment: gst::Event) {
        self.segment = segment;
        self.play();
        self.push_segment();
    }

    fn play(&mut self) {
        let gst::EventView::Segment(event) = self.segment.view() else { return };
        let order = Order::of(event.segment());
        self.hearing = Hearing::new(order == Order::Backward);
        self.writer.play(order);
        self.later = self.writer.later();
    }

    /// Pushes the segment at hand, as much later as the buffers are.
    pub fn push_segment(&self) {
        self.push_event(&self.segment);
    }

    /// Pushes an event, whose times are those of the segment as it came.
    pub fn push_event(&self, event: &gst::Event) {
        use gst::EventView;
        let later = clock_time(self.later).unwrap_or_default();
        let moved = match event.view() {
            _ if self.later == 0 => None,
            EventView::Segment(event) => event.segment().downcast_ref::<gst::ClockTime>().map(|segment| {
                let mut segment = segment.clone();
                output::move_segment(&mut segment, 0, self.later);
                gst::event::Segment::builder(&segment).seqnum(event.seqnum()).build()
            }),
            EventView::Gap(event) => {
                let (start, duration) = event.get();
                let gap = gst::event::Gap::builder(start.saturating_add(later)).duration(duration);
                Some(gap.gap_flags(event.gap_flags()).seqnum(event.seqnum()).build())
            }
            EventView::SegmentDone(event) => match event.get() {
                gst::GenericFormattedValue::Time(Some(position)) => {
                    let position = position.saturating_add(later);
                    Some(gst::event::SegmentDone::builder(position).seqnum(event.seqnum()).build())
                }
                _ => None,
            },
            _ => None,
        };
        self.pad.push_event(moved.unwrap_or_else(|| event.clone()));
    }

    /// Upstream says that nothing comes before this moment, in ns.
    pub fn silent_until(&mut self, end: u64) {
        if let Hearing::Forward(silence) = &mut self.hearing {
            silence.known_until(end);
        }
    }

    /// A fragment begins: caps, where they are new, and stream headers go out. `None`: no buffer did.
    pub fn begin_fragment(&mut self, opening: &Opening) -> Option<Flow> {
        if let Hearing::Backward(run) = &mut self.hearing
            && let Some(silence) = run.end()
        {
            self.tell(silence);
        }
        if let Hearing::Forward(silence) = &mut self.hearing {
            silence.begin_fragment();
        }
        self.writer.begin_fragment(&opening.fragment, &mut self.queue);
        opening.equip(&mut self.queue);
        self.push()
    }

    /// A block came, of whatever track: pushes its frames, or tells how long this track has been silent. `None`: no
    /// buffer went out.
    pub fn block(&mut self, arrival: &Arrival, is_own: bool) -> Option<Flow> {
        let timed = &arrival.timed;
        if is_own && self.waits_for_keyframe {
            if !timed.block.keyframe {
                return None;
            }
            self.waits_for_keyframe = false;
        }
        // The writer wants to see the blocks of other tracks too: a break is one for all.
        self.writer.write(timed, &mut self.queue);
        if is_own {
            arrival.equip(&mut self.queue, self.codec_delay);
        }
        let silence = match &mut self.hearing {
            Hearing::Forward(silence) if is_own => {
                silence.heard(timed.pts, timed.duration());
                None
            }
            Hearing::Forward(silence) => silence.at(timed.pts),
            Hearing::Backward(run) => {
                run.heard(is_own, timed.pts, timed.duration());
                None
            }
        };
        if let Some(silence) = silence {
            self.tell(silence);
        }
        self.push()
    }

    /// Nothing came from there on, for so many ns.
    fn tell(&self, (start, duration): (u64, u64)) {
        let Some(start) = clock_time(start) else { return };
        self.push_event(&gst::event::Gap::builder(start).duration(clock_time(duration)).build());
    }

    fn push(&mut self) -> Option<Flow> {
        if self.later != self.writer.later() {
            self.later = self.writer.later();
            self.push_segment();
        }
        let mut flow = None;
        while let Some(item) = self.queue.pop_front() {
            match item {
                Item::Caps(caps) => {
                    if self.pad.current_caps().as_ref() != Some(&caps) {
                        self.pad.push_event(gst::event::Caps::new(&caps));
                    }
                }
                Item::Buffer(mut buffer) => {
                    if std::mem::take(&mut self.discont)
                        && let Some(buffer) = buffer.get_mut()
                    {
                        buffer.set_flags(buffer.flags() | gst::BufferFlags::DISCONT);
                    }
                    let result = self.pad.push(buffer);
                    flow = Some(result);
                    if result.is_err() {
                        self.queue.clear();
                    }
                }
            }
        }
        flow
    }
}
