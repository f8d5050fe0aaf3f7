//! A reading of either kind, as the element drives it.

use std::sync::Arc;

use gst_base::subclass::base_src::CreateSuccess;

use super::archive;
use super::error::Error;
use super::notice::Notice;
use super::session::{Session, Step};
use crate::fragment::Fragment;
use crate::output::Downstream;

/// What comes of GetMedia, or of the archive.
pub enum Reading {
    Live(Session),
    OnDemand(archive::Session),
}

impl Reading {
    /// The next thing to do.
    ///
    /// # Errors
    ///
    /// The stream cannot go on; all that came before has gone out.
    pub fn step(&mut self) -> Result<Step, Error> {
        match self {
            Self::Live(session) => session.step(),
            Self::OnDemand(session) => session.step(),
        }
    }

    /// Goes on with a fragment whose header is new, in a format that `downstream` takes.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub fn begin(&mut self, fragment: &Arc<Fragment>, downstream: &Downstream) -> Result<(), Error> {
        match self {
            Self::Live(session) => session.begin(fragment, downstream),
            Self::OnDemand(session) => session.begin(fragment, downstream),
        }
    }

    /// Waits for what comes next. Nothing is lost where the future is dropped. `base_time` is what the reading's clock
    /// showed at running time 0, in ns.
    ///
    /// # Errors
    ///
    /// Nothing that follows can be had.
    pub async fn receive(&mut self, base_time: u64) -> Result<(), Error> {
        match self {
            Self::Live(session) => session.receive(base_time).await,
            Self::OnDemand(session) => session.receive().await,
        }
    }

    /// What came last did not go out: it is what comes next.
    pub fn put_back(&mut self, items: CreateSuccess) {
        let buffers = match items {
            CreateSuccess::NewBuffer(buffer) => vec![buffer],
            CreateSuccess::NewBufferList(list) => list.iter_owned().collect(),
            CreateSuccess::FilledBuffer => Vec::new(),
        };
        match self {
            Self::Live(session) => session.put_back(buffers),
            Self::OnDemand(session) => session.put_back(buffers),
        }
    }

    /// These did not go out either.
    pub fn put_back_caps(&mut self, caps: gst::Caps) {
        match self {
            Self::Live(session) => session.put_back_caps(caps),
            Self::OnDemand(session) => session.put_back_caps(caps),
        }
    }

    /// What went out last ended there, in time of the segment it went out in.
    pub fn passed(&mut self, position: impl FnOnce() -> Option<gst::ClockTime>) {
        if let Self::OnDemand(session) = self {
            session.passed(position());
        }
    }

    /// How far the frames that went out reach, where that is not where the last one ended.
    pub fn reached(&self) -> Option<gst::ClockTime> {
        match self {
            Self::Live(_) => None,
            Self::OnDemand(session) => session.reached(),
        }
    }

    /// Nothing more comes: all has been said, or, with an error, cannot be. What is still to be told.
    pub fn close(&mut self, error: Option<&Error>) -> Box<dyn Iterator<Item = Notice>> {
        match self {
            Self::Live(session) => Box::new(session.close(error)),
            Self::OnDemand(session) => Box::new(session.close(error)),
        }
    }
}
