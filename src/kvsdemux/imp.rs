//! Pads, events and queries: wiring.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::control::{Control, Selection};
use super::demuxer::Demuxer;
use super::error::{Error, Stop};
use crate::output::{self, TrackCaps};

pub static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("kvsdemux", gst::DebugColorFlags::empty(), Some("Kinesis Video demuxer")));

/// The element's instance.
pub struct KvsDemux {
    sink_pad: gst::Pad,
    state: Mutex<State>,
    control: Arc<Control>,
    settings: Mutex<Settings>,
}

/// The properties.
#[derive(Clone)]
struct Settings {
    track_caps: Option<gst::Caps>,
    drop_duplicates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { track_caps: None, drop_duplicates: true }
    }
}

#[derive(Default)]
enum State {
    #[default]
    Stopped,
    /// The streaming thread has the demuxer in hand, so that no lock is held while it pushes.
    Busy,
    Streaming(Box<Demuxer>),
    /// An error has been posted.
    Failed,
}

#[glib::object_subclass]
impl ObjectSubclass for KvsDemux {
    const NAME: &'static str = "GstKvsDemux";
    type Type = super::KvsDemux;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let builder = match class.pad_template("sink") {
            Some(template) => gst::Pad::builder_from_template(&template),
            None => gst::Pad::builder(gst::PadDirection::Sink),
        };
        let sink_pad = builder
            .name("sink")
            .chain_function(|_, parent, buffer| {
                let failed = || Err(gst::FlowError::Error);
                KvsDemux::catch_panic_pad_function(parent, failed, |demux| demux.chain(buffer))
            })
            .event_function(|pad, parent, event| {
                KvsDemux::catch_panic_pad_function(parent, || false, |demux| demux.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                let answer = |demux: &KvsDemux| {
                    output::asks_for_kvsdemux(query) || gst::Pad::query_default(pad, Some(&*demux.obj()), query)
                };
                KvsDemux::catch_panic_pad_function(parent, || false, answer)
            })
            .build();
        Self { sink_pad, state: Mutex::default(), control: Arc::default(), settings: Mutex::default() }
    }
}

impl ObjectImpl for KvsDemux {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<[glib::ParamSpec; 2]> = LazyLock::new(|| {
            let drop_duplicates = glib::ParamSpecBoolean::builder("drop-duplicates")
                .nick("Drop duplicates")
                .blurb(
                    "Whether frames of a saved stream are dropped that came before in another fragment: a producer sends a \
                     fragment again after a lost connection",
                )
                .default_value(Settings::default().drop_duplicates)
                .mutable_ready();
            [output::track_caps_property(), drop_duplicates.build()]
        });
        PROPERTIES.as_ref()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "drop-duplicates" => value.get().map(|drops| settings.drop_duplicates = drops),
            _ => value.get().map(|caps| settings.track_caps = caps),
        }
        .unwrap_or_else(|error| gst::error!(CAT, imp = self, "{}: {error}", pspec.name()));
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "drop-duplicates" => settings.drop_duplicates.to_value(),
            _ => settings.track_caps.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        if let Err(error) = self.obj().add_pad(&self.sink_pad) {
            gst::error!(CAT, imp = self, "{error}");
        }
    }
}

impl GstObjectImpl for KvsDemux {}

impl ElementImpl for KvsDemux {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Kinesis Video demuxer",
                "Codec/Demuxer",
                "Takes a stream of Amazon Kinesis Video Streams apart: what kvssrc makes or GetMedia answers, one pad a \
                 track",
                "The gst-plugin-kvs developers",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            use gst::{PadDirection as Direction, PadPresence as Presence};
            let elementary = |audio| -> gst::Caps {
                let all = output::elementary_template_caps();
                let structures = all.iter().filter(|structure| structure.name().starts_with("audio/") == audio);
                structures.map(|structure| structure.to_owned()).collect()
            };
            let templates = [
                gst::PadTemplate::new("sink", Direction::Sink, Presence::Always, &output::container_template_caps()),
                gst::PadTemplate::new("video_%u", Direction::Src, Presence::Sometimes, &elementary(false)),
                gst::PadTemplate::new("audio_%u", Direction::Src, Presence::Sometimes, &elementary(true)),
            ];
            templates.into_iter().flatten().collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.control.reset();
            let settings = lock(&self.settings).clone();
            let claim = TrackCaps::new(settings.track_caps.as_ref());
            let demuxer = Demuxer::new(Arc::clone(&self.control), claim, settings.drop_duplicates);
            *lock(&self.state) = State::Streaming(Box::new(demuxer));
        }
        let success = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            let state = std::mem::take(&mut *lock(&self.state));
            // Dropped outside of the lock.
            drop(state);
            for pad in self.obj().src_pads() {
                if let Err(error) = self.obj().remove_pad(&pad) {
                    gst::error!(CAT, obj = pad, "{error}");
                }
            }
        }
        Ok(success)
    }

    fn send_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::SelectStreams(select) => self.select(select),
            _ => self.parent_send_event(event),
        }
    }
}

impl KvsDemux {
    fn chain(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let element = self.obj();
        match self.with_demuxer(|demuxer| demuxer.push(&element, buffer)) {
            Ok(()) => Ok(gst::FlowSuccess::Ok),
            Err(Stop::Flow(error)) => Err(error),
            Err(Stop::Failed(error)) => {
                self.fail(&error);
                Err(gst::FlowError::Error)
            }
        }
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        use gst::EventView;
        gst::log!(CAT, obj = pad, "{event:?}");
        if !event.is_serialized() {
            return gst::Pad::event_default(pad, Some(&*self.obj()), event);
        }
        let element = self.obj();
        let done = self.with_demuxer(|demuxer| {
            match event.view() {
                EventView::StreamStart(start) => demuxer.begin_stream(start),
                EventView::Segment(segment) => demuxer.begin_segment(segment),
                EventView::Tag(tag) => demuxer.tell(tag),
                EventView::Gap(gap) => demuxer.gap(gap),
                EventView::FlushStop(_) => demuxer.flush(&event),
                EventView::Eos(_) => demuxer.end(&element, &event)?,
                // What upstream says of its own pad.
                EventView::Caps(_) | EventView::StreamCollection(_) => {}
                _ => demuxer.pass(event),
            }
            Ok(())
        });
        match done {
            Ok(()) => true,
            Err(Stop::Flow(_)) => false,
            Err(Stop::Failed(error)) => {
                self.fail(&error);
                false
            }
        }
    }

    fn source_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::SelectStreams(select) => self.select(select),
            // Upstream knows no times to seek to.
            gst::EventView::Seek(_) if !self.control.is_timed_by_upstream() => false,
            gst::EventView::Seek(seek) => {
                let seqnum = seek.seqnum();
                self.control.seek(seqnum, || gst::Pad::event_default(pad, Some(&*self.obj()), event))
            }
            _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
        }
    }

    fn source_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if self.control.is_timed_by_upstream() {
            return gst::Pad::query_default(pad, Some(&*self.obj()), query);
        }
        match query.view_mut() {
            gst::QueryViewMut::Seeking(seeking) => {
                let format = seeking.format();
                seeking.set(
                    false,
                    gst::GenericFormattedValue::none_for_format(format),
                    gst::GenericFormattedValue::none_for_format(format),
                );
                true
            }
            gst::QueryViewMut::Position(position) if position.format() == gst::Format::Time => {
                let time = self.control.position().and_then(output::clock_time);
                position.set(time);
                time.is_some()
            }
            gst::QueryViewMut::Position(_) | gst::QueryViewMut::Duration(_) => false,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn select(&self, event: &gst::event::SelectStreams) -> bool {
        let streams = event.streams().iter().map(|id| id.as_str().to_owned()).collect();
        let selection = Selection { streams, seqnum: event.seqnum() };
        gst::debug!(CAT, imp = self, "Asked for {selection:?}");
        self.control.select(selection)
    }

    /// Does a piece of the streaming thread's work.
    fn with_demuxer(&self, work: impl FnOnce(&mut Demuxer) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut *state, State::Busy) {
            State::Streaming(mut demuxer) => {
                drop(state);
                let result = work(&mut demuxer);
                let after = match &result {
                    Err(Stop::Failed(_)) => State::Failed,
                    _ => State::Streaming(demuxer),
                };
                *lock(&self.state) = after;
                result
            }
            State::Failed => {
                *state = State::Failed;
                Err(gst::FlowError::Error.into())
            }
            other @ (State::Stopped | State::Busy) => {
                *state = other;
                Err(gst::FlowError::Flushing.into())
            }
        }
    }

    fn fail(&self, error: &Error) {
        gst::error!(CAT, imp = self, "{error}");
        self.post_error_message(error.message());
    }
}

/// A pad for a track, which the element does not have yet.
pub fn source_pad(element: &super::KvsDemux, video: bool, name: &str) -> gst::Pad {
    let builder = match element.pad_template(if video { "video_%u" } else { "audio_%u" }) {
        Some(template) => gst::Pad::builder_from_template(&template),
        None => gst::Pad::builder(gst::PadDirection::Src),
    };
    builder
        .name(name)
        .event_function(|pad, parent, event| {
            KvsDemux::catch_panic_pad_function(parent, || false, |demux| demux.source_event(pad, event))
        })
        .query_function(|pad, parent, query| {
            KvsDemux::catch_panic_pad_function(parent, || false, |demux| demux.source_query(pad, query))
        })
        .flags(gst::PadFlags::FIXED_CAPS)
        .build()
}

/// Whether it stands in a bin that shows pads in groups: one that was added later would be blocked until all before it
/// have ended.
pub fn is_autoplugged(element: &super::KvsDemux) -> bool {
    let bins = std::iter::successors(element.parent(), |bin| bin.parent());
    bins.filter_map(|bin| bin.downcast::<gst::Element>().ok()?.factory())
        .any(|factory| matches!(factory.name().as_str(), "parsebin" | "decodebin"))
}

/// What upstream has said for good, but for what the element says anew of each track.
pub fn sticky_events_of_upstream(element: &super::KvsDemux) -> Vec<gst::Event> {
    use gst::EventType as Type;
    let own = [Type::StreamStart, Type::Caps, Type::Segment, Type::StreamCollection, Type::Tag, Type::Eos];
    let mut events = Vec::new();
    element.imp().sink_pad.sticky_events_foreach(|event| {
        if !own.contains(&event.type_()) {
            events.push(event.clone());
        }
        ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    events
}

/// What a thread that panicked left behind is still whole here: every write is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
