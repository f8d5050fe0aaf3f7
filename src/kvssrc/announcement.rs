//! What is told of each fragment: `kvs-fragment`, and the tags of the stream at that point.

use std::sync::Arc;

use gst::tags::{DateTime, ExtendedComment, Title};

use super::statistics::frames_structure;
use crate::fragment::{Fragment, FragmentEnd, FragmentNumber, TimedBlock, UnixTime};

/// The fragment at hand, and what has been told before it.
#[derive(Debug)]
pub struct Announcement {
    title: String,
    /// When the first frame of all was captured.
    date_time: Option<gst::DateTime>,
    /// The fragment tags that downstream knows, once it knows any tags.
    comments: Option<Vec<String>>,
    fragment: Option<Arc<Fragment>>,
    /// No frame of it has come.
    fresh: bool,
    /// Frames by the index of their track.
    frames: Vec<u64>,
}

impl Announcement {
    /// `title` is the stream's.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            date_time: None,
            comments: None,
            fragment: None,
            fresh: false,
            frames: Vec::new(),
        }
    }

    /// A fragment begins.
    pub fn begin(&mut self, fragment: &Arc<Fragment>) {
        self.fragment = Some(Arc::clone(fragment));
        self.frames.clear();
        self.fresh = true;
    }

    /// The fragment at hand.
    pub fn fragment(&self) -> Option<&Arc<Fragment>> {
        self.fragment.as_ref()
    }

    /// Whether no frame of the fragment has come.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The first frame of the fragment: the tags that are new with it.
    pub fn first_frame(&mut self, block: &TimedBlock) -> Option<gst::TagList> {
        self.fresh = false;
        let fragment = self.fragment.as_ref()?;
        if self.date_time.is_none() && fragment.producer_timestamp.is_some() {
            self.date_time = gst::DateTime::from_unix_epoch_utc_usecs(block.capture_time / 1000).ok();
        }
        let comments: Vec<String> = fragment.tags.iter().map(comment).collect();
        match &self.comments {
            // What the fragment does not have any more is known to be gone only at its end.
            Some(known) if comments.iter().all(|comment| known.contains(comment)) => None,
            _ => Some(self.tell(comments)),
        }
    }

    /// So many frames of the track with this index.
    pub fn count(&mut self, track: Option<usize>, frames: usize) {
        let Some(track) = track else { return };
        if track >= self.frames.len() {
            self.frames.resize(track.saturating_add(1), 0);
        }
        if let Some(count) = self.frames.get_mut(track) {
            *count = count.saturating_add(u64::try_from(frames).unwrap_or(u64::MAX));
        }
    }

    /// The frames of the fragment, by the number of their track.
    pub fn frames(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let tracks = self.fragment.iter().flat_map(|fragment| &fragment.header.tracks.tracks);
        tracks.zip(&self.frames).map(|(track, count)| (track.number, *count))
    }

    /// Begins to count anew.
    pub fn forget_frames(&mut self) {
        self.frames.clear();
    }

    /// The fragment is whole: what is told of it, unless it has no number; and the tags, where they change.
    pub fn end(&mut self, end: &FragmentEnd) -> (Option<gst::Structure>, Option<gst::TagList>) {
        // One without frames never began.
        let begun = self.fragment.as_ref().filter(|fragment| fragment.number == end.number);
        let before = begun.into_iter().flat_map(|fragment| &fragment.tags);
        let tags: Vec<&(String, String)> = before.chain(&end.tags).collect();
        let comments: Vec<String> = tags.iter().map(|tag| comment(tag)).collect();
        let frames = frames_structure(self.frames().filter(|_| begun.is_some()));
        let structure = end.number.as_ref().map(|number| structure(number, end, frames, &tags));
        let changed = self.comments.as_ref().is_some_and(|known| *known != comments);
        let list = changed.then(|| self.tell(comments));
        self.fragment = None;
        self.frames.clear();
        (structure, list)
    }

    fn tell(&mut self, comments: Vec<String>) -> gst::TagList {
        let mut list = gst::TagList::new();
        if let Some(list) = list.get_mut() {
            list.set_scope(gst::TagScope::Global);
            list.add::<Title>(&self.title.as_str(), gst::TagMergeMode::Append);
            if let Some(date_time) = &self.date_time {
                list.add::<DateTime>(date_time, gst::TagMergeMode::Append);
            }
            for comment in &comments {
                list.add::<ExtendedComment>(&comment.as_str(), gst::TagMergeMode::Append);
            }
        }
        self.comments = Some(comments);
        list
    }
}

/// The structure of `kvs-fragment`.
fn structure(
    number: &FragmentNumber,
    end: &FragmentEnd,
    frames: gst::Structure,
    tags: &[&(String, String)],
) -> gst::Structure {
    let nanoseconds = |time: UnixTime| u64::try_from(time.nanoseconds()).unwrap_or(0);
    let mut named = gst::Structure::new_empty("tags");
    for (name, value) in tags.iter().filter(|(name, _)| !name.is_empty()) {
        named.set(name, value);
    }
    let mut structure = gst::Structure::builder("kvs-fragment")
        .field("fragment-number", number.as_str())
        .field("size", end.size)
        .field("frames", frames)
        .field("tags", named)
        .build();
    structure.set_if_some("producer-timestamp", end.producer_timestamp.map(nanoseconds));
    structure.set_if_some("server-timestamp", end.server_timestamp.map(nanoseconds));
    structure.set_if_some("millis-behind-now", end.millis_behind_now);
    structure.set_if_some("continuation-token", end.continuation_token.as_ref());
    structure
}

/// A tag as GStreamer's extended comments have it: `key=value`.
fn comment((name, value): &(String, String)) -> String {
    format!("{name}={value}")
}
