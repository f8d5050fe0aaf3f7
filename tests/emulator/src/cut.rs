//! Cuts a document's blocks into clusters: at the keyframes of its leading track, and never too long.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::document::{Block, Document};
use crate::matroska::{self, Malformed, id};

/// The longest fragment that the service takes, in milliseconds.
const LONGEST: i64 = 10_000;
/// How long a fragment without video is made, in milliseconds.
const AUDIO_ONLY: i64 = 2_000;
/// Sound that begins so much before the pictures still goes into their first fragment, in milliseconds.
const LEAD_IN: i64 = 1_000;

/// A fragment-to-be.
pub(crate) struct Cut {
    /// Milliseconds from the file's beginning.
    pub begin: u64,
    /// Milliseconds.
    pub duration: u64,
    pub cluster: Bytes,
}

/// Where a cluster begins.
struct Begin {
    /// Ticks.
    time: i64,
    /// Whether a frame of the leading track must be there for it to begin.
    keyframe: bool,
}

/// Cuts a document's blocks.
pub(crate) fn cut(document: &Document) -> Result<Vec<Cut>, Malformed> {
    let Some(leading) = document.leading_track() else { return Ok(Vec::new()) };
    let begins = begins(document, leading.number, leading.is_video);
    let mut cuts = Vec::with_capacity(begins.len());
    for (index, group) in groups(document, leading.number, &begins).into_iter().enumerate() {
        let Some(last) = group.iter().map(|block| block.time).max() else { continue };
        let begin = begins[index].time;
        let milliseconds = |ticks| u64::try_from(document.milliseconds(ticks)).unwrap_or(0);
        let duration = match begins.get(index + 1) {
            Some(next) => milliseconds(next.time.saturating_sub(begin)),
            None => document.duration(&group).max(milliseconds(last.saturating_sub(begin))),
        };
        cuts.push(Cut { begin: milliseconds(begin), duration, cluster: cluster(begin, &group)? });
    }
    Ok(cuts)
}

/// Where clusters begin, in order. A block's relative timestamp has 16 bits: with a timestamp scale so fine that they
/// do not hold 10 s, clusters are as long as they hold.
fn begins(document: &Document, leading: u64, video: bool) -> Vec<Begin> {
    let ticks = |milliseconds: i64| {
        let ticks = i128::from(milliseconds) * 1_000_000 / i128::from(document.scale);
        i64::try_from(ticks).unwrap_or(i64::MAX).clamp(1, i64::from(i16::MAX))
    };
    let longest = ticks(if video { LONGEST } else { AUDIO_ONLY });
    let of_leading = || document.blocks.iter().filter(|block| block.track == leading);
    let Some(first) = of_leading().next().map(|block| block.time) else { return Vec::new() };
    let mut keyframes: BTreeSet<i64> = BTreeSet::from([first]);
    keyframes.extend(of_leading().filter(|block| video && block.keyframe).map(|block| block.time));
    let times: BTreeSet<i64> = document.blocks.iter().map(|block| block.time).collect();

    let mut begins: Vec<Begin> = Vec::new();
    for time in times {
        let keyframe = keyframes.contains(&time);
        let begin = match begins.last() {
            None => keyframe || first.saturating_sub(time) > ticks(LEAD_IN),
            Some(last) => keyframe || time.saturating_sub(last.time) >= longest,
        };
        if begin {
            begins.push(Begin { time, keyframe });
        }
    }
    begins
}

/// The blocks of each cluster. The leading track keeps its order of decoding: frames that are shown before their
/// keyframe stay behind it. Other tracks go where their time belongs.
fn groups(document: &Document, leading: u64, begins: &[Begin]) -> Vec<Vec<Block>> {
    let mut groups: Vec<Vec<Block>> = begins.iter().map(|_| Vec::new()).collect();
    let mut current = 0;
    for block in &document.blocks {
        let index = if block.track == leading {
            while let Some(next) = begins.get(current + 1)
                && (block.time == next.time || !next.keyframe && block.time > next.time)
            {
                current += 1;
            }
            current
        } else {
            begins.partition_point(|begin| begin.time <= block.time).saturating_sub(1)
        };
        if let Some(group) = groups.get_mut(index) {
            let leads = block.track == leading && !group.iter().any(|other| other.track == leading);
            group.insert(if leads { 0 } else { group.len() }, block.clone());
        }
    }
    groups
}

/// A cluster of known size with `blocks` moved to its time.
fn cluster(begin: i64, blocks: &[Block]) -> Result<Bytes, Malformed> {
    let mut body = matroska::uint(id::TIMESTAMP, begin.unsigned_abs());
    for block in blocks {
        append_block(&mut body, block, begin)?;
    }
    Ok(matroska::element(id::CLUSTER, &body).into())
}

/// Writes a block with its timestamp relative to a cluster's.
pub(crate) fn append_block(out: &mut Vec<u8>, block: &Block, cluster_time: i64) -> Result<(), Malformed> {
    let far = Malformed { offset: 0, reason: "a block too far from its cluster" };
    let relative = i16::try_from(block.time.saturating_sub(cluster_time)).map_err(|_| far)?;
    let at = out.len() + block.relative_offset;
    out.extend_from_slice(&block.element);
    out[at..at + 2].copy_from_slice(&relative.to_be_bytes());
    Ok(())
}
