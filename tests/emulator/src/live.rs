//! Replays stored fragments for ever in real time, as a camera would put them.

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
use crate::store::{self, Stream};

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
                sleep_until(origin + Duration::from_millis(begin)).await;
                // The camera's cluster has no known size: it ends where the next begins.
                if let Some(ended) = open.take() {
                    ended.finish();
                }
                stream.keep_last(KEPT);
                open = Some(scene.put(&stream, origin, origin_time, begin).await);
            }
            passed += self.length;
        }
    }
}

impl Scene {
    async fn put(&self, stream: &Arc<Stream>, origin: Instant, origin_time: u64, begin: u64) -> OpenFragment {
        let ticks = u128::from(begin) * 1_000_000 / u128::from(self.scale);
        let cluster_header = [
            matroska::unknown_size(id::CLUSTER),
            matroska::uint(id::TIMESTAMP, u64::try_from(ticks).unwrap_or(u64::MAX)),
        ];
        let mut fragment = OpenFragment::begin(
            Arc::clone(stream),
            NewFragment {
                header: self.header.clone(),
                media: cluster_header.concat().into(),
                producer_timestamp: Some(origin_time.saturating_add(begin)),
                ..NewFragment::default()
            },
        );
        let mut due = origin + Duration::from_millis(begin);
        for block in &self.blocks {
            let late = u64::try_from(block.time.saturating_sub(self.time)).unwrap_or(0).saturating_mul(self.scale);
            due = due.max(origin + Duration::from_millis(begin) + Duration::from_nanos(late));
            sleep_until(due).await;
            let mut bytes = Vec::with_capacity(block.element.len());
            // A block came from a cluster that held it, so its relative timestamp fits again.
            if cut::append_block(&mut bytes, block, self.time).is_ok() {
                fragment.write(bytes);
            }
        }
        fragment
    }
}
