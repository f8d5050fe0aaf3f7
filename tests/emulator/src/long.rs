//! A long stream that costs no memory: every fragment is made of one template when it is read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::document;
use crate::error::Error;
use crate::fragment::{Fragment, FragmentInfo, NewFragment};
use crate::import;
use crate::matroska::{self, Cursor, id};
use crate::number::FragmentNumber;
use crate::store;
use crate::stream::Origin;
use crate::sync::lock;

/// A day, in milliseconds.
const DAY: u64 = 86_400_000;

type Generator = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

/// A stream of fragments of one length without gaps, each made when it is read: a template with the cluster's time
/// written anew.
#[derive(Clone)]
pub struct LongStream {
    header: Bytes,
    media: Bytes,
    scale: u64,
    generator: Option<Generator>,
    size: Option<usize>,
    fragments: Option<u64>,
    length: u64,
    start: Option<u64>,
    upload: u64,
    absolute: bool,
    first_number: Option<FragmentNumber>,
}

impl fmt::Debug for LongStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LongStream").field("fragments", &self.fragments).finish_non_exhaustive()
    }
}

impl LongStream {
    /// A day of the first fragment of a file, as it is or as it is cut at keyframes, over and over, that ends now.
    pub fn new(recording: impl Into<Bytes>) -> Result<Self, Error> {
        let first = import::fragments(&recording.into(), Some(0))?.into_iter().next().ok_or(Error::Empty)?;
        let length = first.duration.filter(|length| *length > 0).ok_or(Error::Empty)?;
        let whole = Bytes::from([first.header.as_ref(), first.media.as_ref()].concat());
        let scale = document::documents(&whole)?.first().ok_or(Error::Empty)?.scale;
        Ok(Self {
            header: first.header,
            media: first.media,
            scale,
            generator: None,
            size: None,
            fragments: None,
            length,
            start: None,
            upload: 0,
            absolute: false,
            first_number: None,
        })
    }

    /// How many fragments there are; a day of them else.
    pub fn fragments(mut self, count: u64) -> Self {
        self.fragments = Some(count);
        self
    }

    /// Milliseconds from one fragment to the next; as long as the template lasts else.
    pub fn length(mut self, milliseconds: u64) -> Self {
        self.length = milliseconds.max(1);
        self
    }

    /// The first producer timestamp, in milliseconds since 1970; so that the last fragment ends now else.
    pub fn start(mut self, milliseconds: u64) -> Self {
        self.start = Some(milliseconds);
        self
    }

    /// How much later than the producer timestamp the server timestamp is, in milliseconds; not at all else.
    pub fn upload(mut self, milliseconds: u64) -> Self {
        self.upload = milliseconds;
        self
    }

    /// Whether clusters have the producer timestamp for their time; else they count from 0.
    pub fn absolute(mut self, absolute: bool) -> Self {
        self.absolute = absolute;
        self
    }

    /// The number of the first fragment; each other has the number after.
    pub fn first_number(mut self, number: FragmentNumber) -> Self {
        self.first_number = Some(number);
        self
    }

    /// Makes the media of each fragment, by its index: a Cluster, whose time is written anew, and what goes with it.
    /// The template is then what tracks and length are read from. It is called each time a fragment is read, and once
    /// when it is listed, on the emulator's only thread.
    pub fn generator(mut self, media: impl Fn(u64) -> Bytes + Send + Sync + 'static) -> Self {
        self.generator = Some(Arc::new(media));
        self
    }

    /// The size that every fragment is listed with, in bytes, so that listing need not generate it.
    pub fn listed_size(mut self, bytes: usize) -> Self {
        self.size = Some(bytes);
        self
    }

    pub(crate) fn build(self) -> Long {
        let count = self.fragments.unwrap_or((DAY / self.length).max(1));
        let lasts = count.saturating_mul(self.length).saturating_add(self.upload);
        let first = self.first_number.clone().unwrap_or_else(FragmentNumber::first);
        let start = self.start.unwrap_or_else(|| store::now().saturating_sub(lasts));
        Long { count, first, start, sizes: Mutex::default(), stream: self }
    }
}

/// A long stream in the store.
pub(crate) struct Long {
    pub count: u64,
    first: FragmentNumber,
    /// The first producer timestamp, in milliseconds since 1970.
    start: u64,
    /// Sizes of generated fragments that have been listed.
    sizes: Mutex<HashMap<u64, usize>>,
    stream: LongStream,
}

impl Long {
    pub fn number(&self, index: u64) -> FragmentNumber {
        self.first.plus(index)
    }

    /// The first index whose number is not less.
    pub fn index_from(&self, number: &FragmentNumber) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.number(middle) < *number { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Milliseconds since 1970.
    pub fn timestamp(&self, index: u64, origin: Origin) -> u64 {
        let producer = self.start.saturating_add(index.saturating_mul(self.stream.length));
        match origin {
            Origin::Producer => producer,
            Origin::Server => producer.saturating_add(self.stream.upload),
        }
    }

    /// The first index whose timestamp is not before a moment.
    pub fn index_at(&self, moment: u64, origin: Origin) -> u64 {
        moment.saturating_sub(self.timestamp(0, origin)).div_ceil(self.stream.length)
    }

    /// Since when the service has the whole of a fragment, in milliseconds since 1970.
    pub fn whole_since(&self, index: u64) -> u64 {
        self.timestamp(index, Origin::Server).saturating_add(self.stream.length)
    }

    pub fn info(&self, index: u64) -> FragmentInfo {
        FragmentInfo {
            number: self.number(index),
            producer_timestamp: self.timestamp(index, Origin::Producer),
            server_timestamp: self.timestamp(index, Origin::Server),
            duration: Some(self.stream.length),
            size: self.size(index),
        }
    }

    fn size(&self, index: u64) -> usize {
        if let Some(size) = self.stream.size {
            return size;
        }
        // The time is written in eight bytes always: a template has one size.
        let key = if self.stream.generator.is_some() { index } else { 0 };
        if let Some(size) = lock(&self.sizes).get(&key) {
            return *size;
        }
        let size = self.stream.header.len() + self.media(index).iter().map(Bytes::len).sum::<usize>();
        lock(&self.sizes).insert(key, size);
        size
    }

    /// Makes a fragment.
    pub fn fragment(&self, index: u64) -> Arc<Fragment> {
        let [begin, rest] = self.media(index);
        let new = NewFragment {
            header: self.stream.header.clone(),
            media: begin,
            producer_timestamp: Some(self.timestamp(index, Origin::Producer)),
            server_timestamp: Some(self.timestamp(index, Origin::Server)),
            ..NewFragment::default()
        };
        let fragment = Fragment::begin(self.number(index), new);
        fragment.append(rest);
        fragment.finish(self.stream.length);
        Arc::new(fragment)
    }

    fn media(&self, index: u64) -> [Bytes; 2] {
        let media = self.stream.generator.as_ref().map_or_else(|| self.stream.media.clone(), |make| make(index));
        let milliseconds = if self.stream.absolute {
            self.timestamp(index, Origin::Producer)
        } else {
            index.saturating_mul(self.stream.length)
        };
        let ticks = u128::from(milliseconds) * 1_000_000 / u128::from(self.stream.scale);
        restamp(&media, u64::try_from(ticks).unwrap_or(u64::MAX)).unwrap_or([media, Bytes::new()])
    }
}

/// Media with its first Cluster at another time, in two pieces: to the new time, and behind it. `None` where there is no
/// Cluster with a time.
fn restamp(media: &Bytes, ticks: u64) -> Option<[Bytes; 2]> {
    let mut cursor = Cursor::new(media);
    let cluster = loop {
        let element = cursor.advance().ok()??;
        if element.id == id::CLUSTER {
            break element;
        }
    };
    let mut children = cursor.children(&cluster);
    let time = loop {
        let child = children.advance().ok()??;
        if child.id == id::TIMESTAMP {
            break child;
        }
    };
    let behind = children.position;
    let time_element = matroska::element(id::TIMESTAMP, &ticks.to_be_bytes());
    let mut begin = media[..cluster.start].to_vec();
    match cluster.end {
        None => begin.extend(matroska::unknown_size(id::CLUSTER)),
        Some(end) => {
            matroska::put_id(&mut begin, id::CLUSTER);
            matroska::put_size(&mut begin, end - cluster.body - (behind - time.start) + time_element.len());
        }
    }
    begin.extend_from_slice(&media[cluster.body..time.start]);
    begin.extend(time_element);
    Some([begin.into(), media.slice(behind..)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Cluster;

    #[test]
    fn a_cluster_is_moved_to_another_time_and_nothing_else_changes() {
        let cluster = Cluster::new(77).element(&matroska::uint(id::POSITION, 5)).simple_block(1, 3, true, b"frame");
        let tags = matroska::tags(&[("place", "entrance")]);
        for cluster in [cluster.clone(), cluster.unknown_size()] {
            let media = Bytes::from([&tags[..], &cluster.bytes()].concat());
            let moved = Bytes::from(restamp(&media, 5000).unwrap().concat());
            let whole = [&crate::fragment::bare_header()[..], &moved].concat().into();
            let document = &document::documents(&whole).unwrap()[0];
            assert_eq!(document.blocks.len(), 1);
            assert_eq!(document.blocks[0].time, 5003);
            assert!(document.blocks[0].element.ends_with(b"frame"));
            assert_eq!(moved.slice(..tags.len()), tags);
        }
        assert_eq!(restamp(&tags.into(), 1), None);
    }
}
