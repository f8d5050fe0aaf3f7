//! BaseSrc and PushSrc virtual methods: wiring, and waiting that a flush can end.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::base_src::CreateSuccess;
use gst_base::subclass::prelude::*;
use tokio::sync::watch;

use super::archive;
use super::dvr::{Dvr, Watch};
use super::error::Error;
use super::journal::Journal;
use super::notice::Notice;
use super::reading::Reading;
use super::report::Reporter;
use super::seeks::Seeks;
use super::session::{Session, Step};
use super::settings::{InvalidUri, PROTOCOL, Plan, Settings};
use super::statistics::Statistics;
use crate::aws::ArrivalClock;
use crate::fragment::{Fragment, Range};
use crate::output::{self, Downstream, Item, clock_time};
use crate::runtime::runtime;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| gst::DebugCategory::new("kvssrc", gst::DebugColorFlags::empty(), Some("Kinesis Video source")));

/// The element's instance.
pub struct KvsSrc {
    settings: Mutex<Settings>,
    pub(super) state: Mutex<State>,
    pub(super) statistics: Arc<Statistics>,
    /// The range of the archive that is read, while the element is started.
    pub(super) range: Mutex<Option<Arc<archive::Range>>>,
    /// What one can go back in while the element is started, where the stream is followed.
    pub(super) dvr: Mutex<Option<Arc<Dvr>>>,
    pub(super) seeks: Seeks,
    /// Whether the streaming thread has to let go of whatever it waits for.
    flushing: watch::Sender<bool>,
}

#[derive(Default)]
pub(super) enum State {
    #[default]
    Stopped,
    /// Nothing has been asked of the service yet.
    Started(Box<Plan>),
    /// The same of a range of the archive, from there on.
    Positioned(Arc<archive::Range>, Box<archive::Position>),
    /// The streaming thread has the session in hand, so that no lock is held while it waits or pushes.
    Busy,
    Reading(Box<Reading>),
    /// All has been said.
    Ended,
}

/// Why `create` returns without a buffer.
enum Stop {
    Flushing,
    End,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[glib::object_subclass]
impl ObjectSubclass for KvsSrc {
    const NAME: &'static str = "GstKvsSrc";
    type Type = super::KvsSrc;
    type ParentType = gst_base::PushSrc;
    type Interfaces = (gst::URIHandler,);

    fn new() -> Self {
        Self {
            settings: Mutex::default(),
            state: Mutex::default(),
            statistics: Arc::default(),
            range: Mutex::default(),
            dvr: Mutex::default(),
            seeks: Seeks::default(),
            flushing: watch::Sender::new(false),
        }
    }
}

impl ObjectImpl for KvsSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        Settings::properties()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if ["continuation-token", "uri"].contains(&pspec.name()) {
            self.statistics.forget_token();
        }
        if pspec.name() == "uri" {
            let uri = value.get::<Option<&str>>().ok().flatten();
            if let Err(error) = lock(&self.settings).set_uri_property(uri) {
                gst::error!(CAT, imp = self, "{error}");
            }
            return;
        }
        if !lock(&self.settings).set(pspec.name(), value) {
            gst::error!(CAT, imp = self, "There is no property {} of this type", pspec.name());
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let known = self.statistics.get(pspec.name()).or_else(|| lock(&self.settings).get(pspec.name()));
        known.unwrap_or_else(|| pspec.default_value().clone())
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_format(gst::Format::Time);
        // Frames come in decoding order: one behind the end of a segment may be followed by others before it.
        self.obj().set_automatic_eos(false);
        let element = self.obj().downgrade();
        self.obj().src_pad().add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let (Some(element), Some(gst::PadProbeData::Event(event))) = (element.upgrade(), &mut info.data) {
                element.imp().seeks.mark(event);
            }
            gst::PadProbeReturn::Ok
        });
    }
}

impl GstObjectImpl for KvsSrc {}

impl ElementImpl for KvsSrc {
    fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            // The base class asks for it before it starts the source.
            let live = lock(&self.settings).is_live();
            self.obj().set_live(live);
        }
        self.parent_change_state(transition)
    }

    fn send_event(&self, event: gst::Event) -> bool {
        if self.refuses(&event) {
            return false;
        }
        let seekable = self.seekable_until().is_some();
        self.seeks.during(&event.clone(), seekable, || self.parent_send_event(event))
    }

    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Kinesis Video Streams source",
                "Source/Network",
                "Reads a stream of Amazon Kinesis Video Streams as Matroska or as the frames of one track",
                "The gst-plugin-kvs developers",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = output::template_caps();
            let template = gst::PadTemplate::new("src", gst::PadDirection::Src, gst::PadPresence::Always, &caps);
            template.into_iter().collect()
        });
        TEMPLATES.as_ref()
    }
}

impl URIHandlerImpl for KvsSrc {
    const URI_TYPE: gst::URIType = gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &[PROTOCOL]
    }

    fn uri(&self) -> Option<String> {
        lock(&self.settings).uri()
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        if !matches!(*lock(&self.state), State::Stopped) {
            return Err(glib::Error::new(gst::URIError::BadState, "kvssrc takes another URI when it is stopped"));
        }
        self.statistics.forget_token();
        let set = lock(&self.settings).set_uri(uri);
        set.map_err(|error| match error {
            InvalidUri::Form => glib::Error::new(gst::URIError::UnsupportedProtocol, &error.to_string()),
            _ => glib::Error::new(gst::URIError::BadUri, &error.to_string()),
        })
    }
}

impl BaseSrcImpl for KvsSrc {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let plan = lock(&self.settings).plan().map_err(|error| Error::from(error).message(""))?;
        gst::info!(CAT, imp = self, "Reading {} from {:?}", plan.request.stream, plan.request.start);
        let state = match plan.on_demand {
            Some(on_demand) => {
                self.statistics.begin(None);
                let range = Arc::new(archive::Range::new(plan, on_demand));
                *lock(&self.range) = Some(Arc::clone(&range));
                let position = range.whole();
                State::Positioned(range, Box::new(position))
            }
            None => {
                let dvr = Dvr::new(&plan);
                let window = dvr.as_ref().map_or(0, Dvr::window);
                self.statistics.begin(plan.duration().and_then(|duration| duration.checked_add(window)));
                *lock(&self.dvr) = dvr.map(Arc::new);
                State::Started(Box::new(plan))
            }
        };
        self.seeks.forget();
        *lock(&self.state) = state;
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        let state = std::mem::take(&mut *lock(&self.state));
        lock(&self.range).take();
        lock(&self.dvr).take();
        // Dropped outside of the lock: this ends the connection.
        if let State::Reading(mut session) = state {
            session.close(None).for_each(|notice| self.tell(&notice));
        }
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.send_replace(true);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.send_replace(false);
        Ok(())
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                // The service keeps what nobody takes: downstream may hold as much as it likes.
                let live = self.obj().is_live();
                let settings = lock(&self.settings);
                let minimum = if live { settings.latency() } else { Duration::ZERO };
                latency.set(live, gst::ClockTime::try_from(minimum).unwrap_or_default(), gst::ClockTime::NONE);
                true
            }
            gst::QueryViewMut::Duration(duration) if duration.format() == gst::Format::Time => {
                let range = lock(&self.range).as_ref().map(|range| range.duration());
                let known = self.statistics.duration().and_then(clock_time);
                duration.set(range.unwrap_or(known));
                true
            }
            gst::QueryViewMut::Seeking(seeking) if seeking.format() == gst::Format::Time => {
                let end = self.seekable_until();
                seeking.set(end.is_some(), end.map(|_| gst::ClockTime::ZERO), end);
                true
            }
            gst::QueryViewMut::Scheduling(scheduling) => {
                let flags = gst::SchedulingFlags::SEQUENTIAL | gst::SchedulingFlags::BANDWIDTH_LIMITED;
                scheduling.set(flags, 1, -1, 0);
                scheduling.add_scheduling_modes([gst::PadMode::Push]);
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }

    fn is_seekable(&self) -> bool {
        self.seekable_until().is_some()
    }

    fn do_seek(&self, segment: &mut gst::Segment) -> bool {
        self.seek(segment)
    }

    fn event(&self, event: &gst::Event) -> bool {
        if self.refuses(event) {
            return false;
        }
        self.seeks.during(event, self.seekable_until().is_some(), || self.parent_event(event))
    }

    /// Caps are set when the first header is known, see [`KvsSrc::negotiate_fragment`].
    fn negotiate(&self) -> Result<(), gst::LoggableError> {
        Ok(())
    }
}

impl PushSrcImpl for KvsSrc {
    fn create(&self, _buffer: Option<&mut gst::BufferRef>) -> Result<CreateSuccess, gst::FlowError> {
        let mut session = self.take_session()?;
        session.passed(|| self.obj().segment().downcast_ref::<gst::ClockTime>()?.position());
        let mut next = self.next_buffer(&mut session);
        if *self.flushing.borrow()
            && let Ok(success) = next
        {
            // The base class would drop what comes while a live source pauses.
            session.put_back(success);
            next = Err(Stop::Flushing);
        }
        let over = match &next {
            Ok(_) | Err(Stop::Flushing) => None,
            Err(Stop::End) => Some(session.close(None)),
            Err(Stop::Failed(error)) => Some(session.close(Some(error))),
        };
        let state = if over.is_some() { State::Ended } else { State::Reading(session) };
        over.into_iter().flatten().for_each(|notice| self.tell(&notice));
        *lock(&self.state) = state;
        next.map_err(|stop| match stop {
            Stop::Flushing => gst::FlowError::Flushing,
            Stop::End => {
                self.complete_segment();
                let (fragments, frames, bytes, reconnects) = self.statistics.totals();
                gst::info!(
                    CAT,
                    imp = self,
                    "The end: {fragments} fragments, {frames} frames, {bytes} bytes, {reconnects} reconnects"
                );
                gst::FlowError::Eos
            }
            Stop::Failed(error) => self.fail(&error),
        })
    }
}

impl KvsSrc {
    /// Takes the session out of the state, opening its connection the first time.
    fn take_session(&self) -> Result<Box<Reading>, gst::FlowError> {
        let mut state = lock(&self.state);
        match std::mem::replace(&mut *state, State::Busy) {
            State::Reading(session) => Ok(session),
            State::Started(plan) => {
                drop(state);
                let watch = lock(&self.dvr).clone().map(|dvr| Watch::new(dvr, None));
                let session = runtime().map_err(Error::from).and_then(|runtime| {
                    Session::new(runtime.handle(), &plan, self.arrival_clock(), self.reporter(&plan), watch)
                });
                session.map(Reading::Live).map(Box::new).map_err(|error| {
                    *lock(&self.state) = State::Ended;
                    self.fail(&error)
                })
            }
            State::Positioned(range, position) => {
                drop(state);
                let session = runtime().map_err(Error::from).map(|runtime| {
                    archive::Session::new(runtime.handle(), &range, *position, self.reporter(&range.plan))
                });
                session.map(Reading::OnDemand).map(Box::new).map_err(|error| {
                    *lock(&self.state) = State::Ended;
                    self.fail(&error)
                })
            }
            State::Ended => {
                *state = State::Ended;
                Err(gst::FlowError::Eos)
            }
            State::Stopped | State::Busy => {
                *state = State::Stopped;
                Err(gst::FlowError::Flushing)
            }
        }
    }

    fn next_buffer(&self, session: &mut Reading) -> Result<CreateSuccess, Stop> {
        loop {
            match session.step()? {
                Step::Item(Item::Buffer(buffer)) => return Ok(CreateSuccess::NewBuffer(buffer)),
                Step::Run(buffers) => return Ok(CreateSuccess::NewBufferList(buffers)),
                Step::Item(Item::Caps(caps)) => {
                    let format = caps.structure(0).map(|structure| structure.name().as_str()).unwrap_or_default();
                    gst::info!(CAT, imp = self, "Pushing {format}");
                    gst::debug!(CAT, imp = self, "The caps are {caps}");
                    if self.obj().set_caps(&caps).is_err() {
                        // A seek flushes the pad before it asks to be waited for.
                        if self.obj().src_pad().pad_flags().contains(gst::PadFlags::FLUSHING) {
                            session.put_back_caps(caps);
                            return Err(Stop::Flushing);
                        }
                        return Err(Error::Refused(caps).into());
                    }
                }
                Step::Negotiate(fragment) => self.negotiate_fragment(session, &fragment)?,
                Step::Notice(notice) => self.tell(&notice),
                Step::Before(notices) => notices.iter().for_each(|notice| self.tell(notice)),
                Step::Segment(segment) => {
                    gst::debug!(CAT, imp = self, "The segment is {segment:?}");
                    // Fails only for a segment of another format.
                    let _ = self.obj().new_segment(segment.upcast_ref());
                }
                Step::StreamTime(time) => {
                    let mut segment = self.obj().segment();
                    if let Some(segment) = segment.downcast_mut::<gst::ClockTime>() {
                        segment.set_time(time);
                    }
                    // Fails only for a segment of another format.
                    let _ = self.obj().new_segment(&segment);
                }
                Step::Later { before, later } => self.move_segment(before, later),
                Step::Receive => self.receive(session)?,
                Step::End if self.follow(session)? => {}
                Step::End => return Err(Stop::End),
            }
        }
    }

    fn negotiate_fragment(&self, session: &mut Reading, fragment: &Arc<Fragment>) -> Result<(), Error> {
        let downstream = Downstream::of(self.obj().src_pad());
        let (number, caps) = (&fragment.number, &downstream.caps);
        gst::debug!(CAT, imp = self, "New header with fragment {number:?}; downstream takes {caps}");
        session.begin(fragment, &downstream)
    }

    /// Waits for the next thing that the connection brings, or a flush.
    fn receive(&self, session: &mut Reading) -> Result<(), Stop> {
        let runtime = runtime().map_err(Error::from)?;
        let mut flushing = self.flushing.subscribe();
        let base_time = self.obj().base_time().map_or(0, gst::ClockTime::nseconds);
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = flushing.wait_for(|flushing| *flushing) => Err(Stop::Flushing),
                () = self.seeks.wait() => Err(Stop::Flushing),
                received = session.receive(base_time) => Ok(received?),
            }
        })
    }

    /// The pipeline's clock, whichever that is when something comes.
    pub(super) fn arrival_clock(&self) -> ArrivalClock {
        let element = self.obj().downgrade();
        Arc::new(move || {
            let clock = element.upgrade()?.clock()?;
            Some(clock.time().nseconds())
        })
    }

    pub(super) fn reporter(&self, plan: &Plan) -> Reporter {
        let journal = Journal::new(self.obj().downgrade());
        // A range of the archive has a length of its own, whatever frame is seen first.
        let range = if plan.on_demand.is_some() { Range::default() } else { plan.range };
        Reporter::new(Arc::clone(&self.statistics), journal, plan.request.stream.short_name(), range)
    }

    /// Tells downstream by events; the application of missing media by warnings, of all else by other messages.
    pub(super) fn tell(&self, notice: &Notice) {
        if let Some(level) = notice.level() {
            gst::log_with_level!(CAT, level, imp = self, "{notice}");
        }
        if let Some(event) = notice.event() {
            // Refused while flushing, and where nobody is linked.
            self.obj().src_pad().push_event(event);
        }
        if let Some(message) = notice.message(&self.obj()) {
            // Fails only where nobody has a bus to listen to.
            let _ = self.obj().post_message(message);
        }
        if let Some((text, reason)) = notice.warning() {
            gst::element_imp_warning!(self, gst::ResourceError::Read, ("{text}"), ["{reason}"]);
        }
    }

    fn fail(&self, error: &Error) -> gst::FlowError {
        let stream = lock(&self.settings).stream().unwrap_or_default();
        gst::error!(CAT, imp = self, "{error}");
        self.post_error_message(error.message(&stream));
        error.flow()
    }
}

/// What a thread that panicked left behind is still whole here: every write is one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
