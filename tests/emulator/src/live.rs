//! Replays stored fragments for ever in real time, as a camera would put them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::cut;
use crate::document::{self, Block};
use crate::emulator::OpenFragment;
use crate::error::Error;
use crate::fragment::{Fragment, NewFragment};
use crate::matroska::{self, id};
use crate::store;
use crate::stream::Stream;

/// How many replayed fragments a stream keeps: a day of fragments of two seconds.
const KEPT: usize = 43_200;

/// One fragment to be put again and again.
struct Scene {
    header: Bytes,
    /// Milliseconds from the beginning of the recording.
    begin: u64,
    /// Nanoseconds a tick.
    scale: u64,
    /// The cluster's time in ticks.
    time: i64,
    blocks: Vec<Block>,
    /// When each block comes, counted from the scene's beginning.
    due: Vec<Duration>,
}

/// What a stream replays.
pub(crate) struct Recording {
    scenes: Vec<Scene>,
    /// Milliseconds from one beginning to the next.
    length: u64,
}

impl Recording {
    /// Makes a recording of fragments that are stored.
    pub fn new(fragments: &[Arc<Fragment>]) -> Result<Self, Error> {
        let begin = fragments.first().ok_or(Error::Empty)?.producer_timestamp;
        let mut scenes = Vec::new();
        let mut length = 0;
        for fragment in fragments {
            let begin = fragment.producer_timestamp.saturating_sub(begin);
            let whole = Bytes::from([fragment.header.as_ref(), fragment.media().as_ref()].concat());
            for document in document::documents(&whole)? {
                let Some(time) = document.blocks.first().map(|block| block.time) else { continue };
                length = length.max(begin + document.duration(&document.blocks).max(1));
                scenes.push(Scene {
                    header: fragment.header.clone(),
                    begin,
                    scale: document.scale,
                    time,
                    due: due(&document.blocks, time, document.scale),
                    blocks: document.blocks,
                });
            }
        }
        if scenes.is_empty() { Err(Error::Empty) } else { Ok(Self { scenes, length }) }
    }

    /// Puts the recording into a stream for ever, every block when its time has come.
    pub async fn replay(self, stream: Arc<Stream>) {
        let (origin, origin_time) = (Instant::now(), store::now());
        let mut passed = 0;
        let mut open: Option<OpenFragment> = None;
        loop {
            for scene in &self.scenes {
                let begin = passed + scene.begin;
                let producer_timestamp = origin_time.saturating_add(begin);
                let mut blocks = scene.blocks.iter().zip(&scene.due).enumerate();
                while let Some((index, (block, due))) = blocks.next() {
                    sleep_until(origin + Duration::from_millis(begin) + *due).await;
                    if index == 0 {
                        // The camera's cluster has no known size: it ends where the next begins.
                        open.take().map(OpenFragment::finish);
                        stream.keep_last(KEPT);
                        open = Some(scene.open(&stream, begin, producer_timestamp));
                    } else if let Some(interruption) = stream.take_interruption() {
                        let cut = open.take();
                        if interruption.kept {
                            cut.map(OpenFragment::finish);
                        }
                        tokio::time::sleep(interruption.length).await;
                        if !interruption.again {
                            break;
                        }
                        blocks = scene.blocks.iter().zip(&scene.due).enumerate();
                        continue;
                    }
                    let mut bytes = Vec::with_capacity(block.element.len());
                    // A block came from a cluster that held it, so its relative timestamp fits again.
                    if let (Some(open), Ok(())) = (&mut open, cut::append_block(&mut bytes, block, scene.time)) {
                        open.write(bytes);
                    }
                }
            }
            passed += self.length;
        }
    }
}

impl Scene {
    /// Begins the fragment: the cluster's time goes on from the replay's beginning.
    fn open(&self, stream: &Arc<Stream>, begin: u64, producer_timestamp: u64) -> OpenFragment {
        let ticks = u128::from(begin) * 1_000_000 / u128::from(self.scale);
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        let media = [matroska::unknown_size(id::CLUSTER), matroska::uint(id::TIMESTAMP, ticks)].concat();
        let new = NewFragment {
            header: self.header.clone(),
            media: media.into(),
            producer_timestamp: Some(producer_timestamp),
            ..NewFragment::default()
        };
        OpenFragment::begin(Arc::clone(stream), new)
    }
}

/// When each block comes: a track's frames one by one, at the distances in which they are shown. An encoder that
/// reorders frames holds each back for as long as the one that it moves the furthest.
fn due(blocks: &[Block], begin: i64, scale: u64) -> Vec<Duration> {
    let mut shown: HashMap<u64, Vec<i64>> = HashMap::new();
    for block in blocks {
        shown.entry(block.track).or_default().push(block.time);
    }
    let mut tracks = HashMap::new();
    for (track, coded) in shown {
        let mut shown = coded.clone();
        shown.sort_unstable();
        let moved = coded.iter().zip(&shown).map(|(coded, shown)| coded.saturating_sub(*shown)).max().unwrap_or(0);
        tracks.insert(track, shown.into_iter().map(move |time| time.saturating_add(moved)));
    }
    let mut latest = 0;
    let due = |block: &Block| {
        let time = tracks.get_mut(&block.track).and_then(Iterator::next).unwrap_or(block.time);
        latest = u64::try_from(time.saturating_sub(begin)).unwrap_or(0).max(latest);
        Duration::from_nanos(latest.saturating_mul(scale))
    };
    blocks.iter().map(due).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(track: u64, time: i64) -> Block {
        Block { track, time, keyframe: false, duration: None, element: Bytes::new(), relative_offset: 0 }
    }

    #[test]
    fn reordered_frames_come_one_by_one() {
        // Coded as I P B B P B B, shown 40 ms apart.
        let blocks = [100, 220, 140, 180, 340, 260, 300].map(|time| block(1, time));
        let due: Vec<u128> = due(&blocks, 100, 1_000_000).iter().map(Duration::as_millis).collect();
        assert_eq!(due, [80, 120, 160, 200, 240, 280, 320]);
    }

    #[test]
    fn no_block_overtakes_the_one_before() {
        let blocks = [block(1, 0), block(2, 0), block(1, 40), block(2, 20), block(1, 80)];
        let due: Vec<u128> = due(&blocks, 0, 1_000_000).iter().map(Duration::as_millis).collect();
        assert_eq!(due, [0, 0, 40, 40, 80]);
    }
}
