//! What comes of a reading for those who watch it: notices, numbers and log.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::journal::Journal;
use super::notice::Notice;
use super::progress::Progress;
use super::statistics::{Counts, Statistics};
use crate::aws::{self, ServiceErrorKind, Stage};
use crate::fragment::{Dropped, Fragment, FragmentEnd, Header, Range, TimedBlock};
use crate::output::Announcement;

/// Is told whatever a session does. What it gives back is for the application, at that point of the stream.
pub struct Reporter {
    statistics: Arc<Statistics>,
    journal: Journal,
    announcement: Announcement,
    progress: Progress,
    range: Range,
}

impl Reporter {
    /// `title` is the stream's.
    pub fn new(statistics: Arc<Statistics>, journal: Journal, title: &str, range: Range) -> Self {
        let announcement = Announcement::new(Some(title));
        Self { statistics, journal, announcement, progress: Progress::default(), range }
    }

    /// A call has come to this stage.
    pub fn stage(&mut self, stage: Stage) -> impl Iterator<Item = Notice> + use<> {
        self.progress.begin(stage).into_iter().map(Notice::Progress)
    }

    /// A call has been agreed to.
    pub fn connected(&mut self) -> impl Iterator<Item = Notice> + use<> {
        self.progress.complete().into_iter().map(Notice::Progress)
    }

    /// Bytes have come.
    pub fn received(&self, bytes: usize) {
        self.statistics.received(bytes);
    }

    /// What counts, for tasks that count by themselves.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.statistics
    }

    /// What has become of the fragments of a range.
    pub fn archive(&self, counts: Counts) {
        self.statistics.archive(counts);
    }

    /// Frames under another header follow.
    pub fn header(&self, header: &Header) {
        self.journal.header(header);
    }

    /// A fragment begins.
    pub fn begin(&mut self, fragment: &Arc<Fragment>) {
        self.count();
        self.statistics.fragment_begins(fragment.number.clone());
        self.announcement.begin(fragment);
    }

    /// A block of the fragment is about to go out, with a stream time that is so many ns `later` than its presentation
    /// time; what comes before it.
    pub fn block(&mut self, block: &TimedBlock, later: i64) -> Vec<Notice> {
        self.journal.block(block);
        let mut notices = Vec::new();
        if self.announcement.is_fresh() {
            notices.extend(self.announcement.first_frame(block).map(Notice::Tags));
            if let Some(time) = self.statistics.first_frame() {
                notices.push(Notice::FirstFrame { time, captured: block.capture_time });
            }
            if self.statistics.set_duration(self.duration(block, later)) {
                notices.push(Notice::Duration);
            }
        }
        self.announcement.count(block.track, block.block.frame_count());
        notices
    }

    /// The fragment is whole, and all of it has gone out; `duplicates` have come again since the start.
    pub fn end(&mut self, end: &FragmentEnd, duplicates: u64) -> impl Iterator<Item = Notice> + use<> {
        let begun = self.announcement.fragment().map(Arc::as_ref);
        self.journal.fragment(end, begun, self.announcement.frames());
        self.statistics.frames(self.announcement.frames());
        self.statistics.fragment_ends(end);
        self.statistics.duplicates(duplicates);
        self.announcement.end(end).map(Notice::Fragment).into_iter()
    }

    /// Frames that came before were dropped.
    pub fn dropped(&self, dropped: Dropped) -> Notice {
        self.statistics.dropped(dropped.blocks);
        Notice::Dropped(dropped)
    }

    /// A fragment is whole, of which all frames were dropped; `duplicates` have come again since the start.
    pub fn repeated(&self, end: &FragmentEnd, duplicates: u64) {
        self.statistics.position(end);
        self.statistics.duplicates(duplicates);
    }

    /// A call has failed.
    pub fn failed(&self, error: &aws::Error) {
        if matches!(error, aws::Error::Service { kind: ServiceErrorKind::Throttled, .. }) {
            self.statistics.throttled();
        }
    }

    /// A connection is over, and another one follows.
    pub fn reconnecting(&mut self, reason: String, delay: Duration, duplicates: u64) -> impl Iterator<Item = Notice> {
        self.statistics.reconnects();
        self.statistics.duplicates(duplicates);
        let progress = self.progress.retry(&reason, delay).map(Notice::Progress);
        progress.into_iter().chain([Notice::Reconnecting { reason, delay }])
    }

    /// Nothing more comes: all has been said, or, with an error, cannot be.
    pub fn close(&mut self, error: Option<&Error>, duplicates: u64) -> impl Iterator<Item = Notice> + use<> {
        self.count();
        self.statistics.duplicates(duplicates);
        let reports = match error {
            Some(error) => self.progress.fail(error),
            None => self.progress.cancel(),
        };
        reports.into_iter().map(Notice::Progress)
    }

    /// Counts the frames of a fragment whose end has not come.
    fn count(&mut self) {
        self.statistics.frames(self.announcement.frames());
        self.announcement.forget_frames();
    }

    /// How long the stream lasts, in ns of stream time, seen from this block.
    fn duration(&self, block: &TimedBlock, later: i64) -> Option<u64> {
        let fragment = self.announcement.fragment()?;
        let left = self.range.left_after(fragment, block.capture_time.saturating_sub(fragment.start()))?;
        block.pts.checked_add(left)?.checked_add_signed(later)
    }
}
