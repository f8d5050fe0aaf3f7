//! What is told of each fragment: `kvs-fragment`, and the tags of the stream at that point.

use std::sync::Arc;

use gst::tags::{DateTime, ExtendedComment, Title};

use crate::fragment::{Fragment, FragmentEnd, FragmentNumber, TimedBlock, UnixTime};

/// The fragment at hand, and what has been told before it.
#[derive(Debug)]
pub struct Announcement {
    title: Option<String>,
    /// When the first frame of all was captured.
    date_time: Option<gst::DateTime>,
    /// The fragment tags that are in force downstream, once it knows any tags.
    comments: Option<Vec<String>>,
    fragment: Option<Arc<Fragment>>,
    /// No frame of it has come.
    fresh: bool,
    /// Frames by the index of their track.
    frames: Vec<u64>,
}

impl Announcement {
    /// `title` is the stream's, where it is known.
    pub fn new(title: Option<&str>) -> Self {
        Self {
            title: title.map(str::to_owned),
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

    /// The first frame of the fragment: what is in force from it on, where that is new. Tags that come after the frames of a
    /// fragment are never in force: they are its own, and what follows is another one.
    pub fn first_frame(&mut self, block: &TimedBlock) -> Option<gst::TagList> {
        self.fresh = false;
        let fragment = self.fragment.as_ref()?;
        if self.date_time.is_none() && fragment.producer_timestamp.is_some() {
            self.date_time = gst::DateTime::from_unix_epoch_utc_usecs(block.capture_time / 1000).ok();
        }
        let comments: Vec<String> = fragment.tags.iter().map(comment).collect();
        (self.comments.as_ref() != Some(&comments)).then(|| self.tell(comments))
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

    /// The fragment is whole: what is told of it, unless it has no number.
    pub fn end(&mut self, end: &FragmentEnd) -> Option<gst::Structure> {
        // One without frames never began.
        let begun = self.fragment.as_ref().filter(|fragment| fragment.number == end.number);
        let before = begun.map_or(&[][..], |fragment| &fragment.tags);
        let frames = frames_structure(self.frames().filter(|_| begun.is_some()));
        let structure =
            end.number.as_ref().map(|number| structure(number, end, frames, before.iter().chain(&end.tags)));
        self.fragment = None;
        self.frames.clear();
        structure
    }

    fn tell(&mut self, comments: Vec<String>) -> gst::TagList {
        let mut list = gst::TagList::new();
        if let Some(list) = list.get_mut() {
            list.set_scope(gst::TagScope::Global);
            if let Some(title) = &self.title {
                list.add::<Title>(&title.as_str(), gst::TagMergeMode::Append);
            }
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
fn structure<'a>(
    number: &FragmentNumber,
    end: &FragmentEnd,
    frames: gst::Structure,
    tags: impl Iterator<Item = &'a (String, String)>,
) -> gst::Structure {
    let nanoseconds = |time: UnixTime| u64::try_from(time.nanoseconds()).unwrap_or(0);
    let mut named = gst::Structure::new_empty("tags");
    for (name, value) in tags.filter(|(name, _)| !name.is_empty()) {
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

/// Frames by the number of their track: `frames, track-1=300, track-2=430`.
pub(crate) fn frames_structure(frames: impl IntoIterator<Item = (u64, u64)>) -> gst::Structure {
    let mut structure = gst::Structure::new_empty("frames");
    for (track, count) in frames {
        structure.set(format!("track-{track}"), count);
    }
    structure
}

/// A tag as GStreamer's extended comments have it: `key=value`.
fn comment((name, value): &(String, String)) -> String {
    format!("{name}={value}")
}
