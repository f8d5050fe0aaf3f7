//! A kvsdemux on a bench: the test pushes every event and buffer, and sees all that comes out.

use std::sync::{Arc, Mutex};

use gst::prelude::*;

use super::support::init;

/// The element with a pad before it and one behind each of its own.
pub struct Bench {
    pub element: gst::Element,
    pub source: gst::Pad,
    bus: gst::Bus,
    outlets: Arc<Mutex<Vec<Outlet>>>,
}

/// What one pad of the element has brought.
#[derive(Clone)]
pub struct Outlet {
    pub name: String,
    pub seen: Vec<Seen>,
    /// The pad behind it.
    pub sink: gst::Pad,
    /// What the pad behind it answers to buffers.
    pub answer: Result<gst::FlowSuccess, gst::FlowError>,
    pub removed: bool,
}

#[derive(Clone, Debug)]
pub enum Seen {
    Event(gst::Event),
    Buffer(gst::Buffer),
}

impl Outlet {
    pub fn buffers(&self) -> Vec<gst::Buffer> {
        self.seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Buffer(buffer) => Some(buffer.clone()),
                Seen::Event(_) => None,
            })
            .collect()
    }

    pub fn payloads(&self) -> Vec<Vec<u8>> {
        self.buffers().iter().map(payload).collect()
    }

    pub fn pts_ms(&self) -> Vec<u64> {
        self.buffers().iter().map(|buffer| buffer.pts().unwrap().mseconds()).collect()
    }

    pub fn events(&self, kind: gst::EventType) -> Vec<gst::Event> {
        self.seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Event(event) if event.type_() == kind => Some(event.clone()),
                _ => None,
            })
            .collect()
    }

    /// The types of all events and, as `None`, the buffers, in order.
    pub fn order(&self) -> Vec<Option<gst::EventType>> {
        self.seen
            .iter()
            .map(|seen| match seen {
                Seen::Event(event) => Some(event.type_()),
                Seen::Buffer(_) => None,
            })
            .collect()
    }

    pub fn stream_id(&self) -> String {
        self.sink.stream_id().unwrap().into()
    }

    /// Start and duration of every gap, in ms.
    pub fn gaps_ms(&self) -> Vec<(u64, u64)> {
        let gaps = self.events(gst::EventType::Gap);
        gaps.iter()
            .map(|event| match event.view() {
                gst::EventView::Gap(gap) => (gap.timestamp().mseconds(), gap.duration().unwrap().mseconds()),
                _ => unreachable!(),
            })
            .collect()
    }
}

pub fn payload(buffer: &gst::Buffer) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

impl Bench {
    /// Playing; nothing was pushed.
    pub fn new() -> Self {
        Self::with(|_| true)
    }

    /// With a pad behind only those of the element's pads that `wanted` names.
    pub fn with(wanted: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        init();
        let element = gst::ElementFactory::make("kvsdemux").build().unwrap();
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let outlets: Arc<Mutex<Vec<Outlet>>> = Arc::default();
        let list = Arc::clone(&outlets);
        element.connect_pad_added(move |_, pad| {
            if pad.direction() == gst::PadDirection::Src && wanted(&pad.name()) {
                attach(&list, pad);
            }
        });
        let list = Arc::clone(&outlets);
        element.connect_pad_removed(move |_, pad| {
            let mut list = list.lock().unwrap();
            // The last of that name: an earlier one may have had it too.
            if let Some(outlet) = list.iter_mut().rfind(|outlet| pad.name() == outlet.name) {
                outlet.removed = true;
            }
        });
        let source = gst::Pad::builder(gst::PadDirection::Src).name("source").build();
        source.set_active(true).unwrap();
        source.link(&element.static_pad("sink").unwrap()).unwrap();
        element.set_state(gst::State::Playing).unwrap();
        Self { element, source, bus, outlets }
    }

    /// Begins as kvssrc does: stream-start with this id, caps and a TIME segment.
    pub fn begin_in_time(&self, id: &str) -> &Self {
        let caps = gst::Caps::builder("video/x-matroska").field("variant", "kvs").build();
        let group = gst::GroupId::next();
        assert!(self.event(gst::event::StreamStart::builder(id).group_id(group).build()));
        assert!(self.event(gst::event::Caps::new(&caps)));
        assert!(self.event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
        self
    }

    /// Begins as filesrc does.
    pub fn begin_in_bytes(&self) -> &Self {
        assert!(self.event(gst::event::StreamStart::new("file")));
        assert!(self.event(gst::event::Segment::new(&gst::FormattedSegment::<gst::format::Bytes>::new())));
        self
    }

    pub fn event(&self, event: gst::Event) -> bool {
        self.source.push_event(event)
    }

    pub fn push(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.source.push(buffer)
    }

    #[track_caller]
    pub fn push_all(&self, buffers: impl IntoIterator<Item = gst::Buffer>) {
        for buffer in buffers {
            self.push(buffer).unwrap();
        }
    }

    /// Pushes bytes without any time.
    pub fn push_bytes(&self, bytes: impl Into<Vec<u8>>) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.push(gst::Buffer::from_mut_slice(bytes.into()))
    }

    pub fn end(&self) -> bool {
        self.event(gst::event::Eos::new())
    }

    /// All pads that there have been, in the order they came.
    pub fn outlets(&self) -> Vec<Outlet> {
        self.outlets.lock().unwrap().clone()
    }

    /// The pad of this name that came last.
    #[track_caller]
    pub fn outlet(&self, name: &str) -> Outlet {
        let outlets = self.outlets();
        outlets.into_iter().rfind(|outlet| outlet.name == name).unwrap_or_else(|| panic!("there is no pad {name}"))
    }

    /// Makes the pad behind this one answer so.
    pub fn answer(&self, name: &str, answer: Result<gst::FlowSuccess, gst::FlowError>) {
        self.outlets.lock().unwrap().iter_mut().rfind(|outlet| outlet.name == name).unwrap().answer = answer;
    }

    /// Forgets what was seen.
    pub fn clear(&self) {
        self.outlets.lock().unwrap().iter_mut().for_each(|outlet| outlet.seen.clear());
    }

    /// The messages of a type that were posted since the last call; those of other types are dropped.
    pub fn messages(&self, kind: gst::MessageType) -> Vec<gst::Message> {
        std::iter::from_fn(|| self.bus.pop()).filter(|message| message.type_() == kind).collect()
    }

    /// The only error that was posted.
    #[track_caller]
    pub fn error<T: gst::glib::error::ErrorDomain + PartialEq + std::fmt::Debug>(&self, kind: T) -> String {
        let messages = self.messages(gst::MessageType::Error);
        let [message] = messages.as_slice() else { panic!("not one error: {messages:?}") };
        let gst::MessageView::Error(error) = message.view() else { unreachable!() };
        assert_eq!(error.error().kind::<T>(), Some(kind), "{error:?}");
        error.error().to_string()
    }

    /// Answers queries of the element as a source would.
    pub fn answer_queries(&self, answer: impl Fn(&mut gst::QueryRef) -> bool + Send + Sync + 'static) {
        self.source.add_probe(gst::PadProbeType::QUERY_UPSTREAM, move |_, info| {
            let answered = info.query_mut().is_some_and(&answer);
            if answered { gst::PadProbeReturn::Handled } else { gst::PadProbeReturn::Ok }
        });
    }

    /// Upstream events that came out before the element.
    pub fn record_upstream_events(&self) -> Arc<Mutex<Vec<gst::Event>>> {
        let events: Arc<Mutex<Vec<gst::Event>>> = Arc::default();
        let list = Arc::clone(&events);
        self.source.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            if let Some(event) = info.event()
                && event.type_() != gst::EventType::Reconfigure
            {
                list.lock().unwrap().push(event.clone());
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
        events
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.element.set_state(gst::State::Null);
    }
}

fn attach(list: &Arc<Mutex<Vec<Outlet>>>, pad: &gst::Pad) {
    let index = list.lock().unwrap().len();
    let record = move |list: &Mutex<Vec<Outlet>>, seen| {
        let outlet = &mut list.lock().unwrap()[index];
        outlet.seen.push(seen);
        outlet.answer
    };
    let (for_buffers, for_events) = (Arc::clone(list), Arc::clone(list));
    let any = gst::Caps::new_any();
    let template = gst::PadTemplate::new("sink", gst::PadDirection::Sink, gst::PadPresence::Always, &any).unwrap();
    let sink = gst::Pad::builder_from_template(&template)
        .chain_function(move |_, _, buffer| record(&for_buffers, Seen::Buffer(buffer)))
        .event_function(move |_, _, event| {
            let _ = record(&for_events, Seen::Event(event));
            true
        })
        .build();
    sink.set_active(true).unwrap();
    let answer = Ok(gst::FlowSuccess::Ok);
    let outlet = Outlet { name: pad.name().into(), seen: Vec::new(), sink: sink.clone(), answer, removed: false };
    list.lock().unwrap().push(outlet);
    pad.link(&sink).unwrap();
}
