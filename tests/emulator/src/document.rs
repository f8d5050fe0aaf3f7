//! Takes Matroska that is all there apart: documents, their header, tracks and blocks.

use bytes::Bytes;

use crate::matroska::{self, Cursor, Element, Malformed, id};
use crate::metadata;
use crate::number::FragmentNumber;

/// One Matroska document: from one EBML header to the next.
pub(crate) struct Document {
    /// EBML header, Segment of unknown size, and what stands before the media.
    pub header: Bytes,
    /// The media with what the producer has before and behind it, as it came.
    pub media: Bytes,
    /// Where the document carries the service's own tags: what they say.
    pub stored: Option<Stored>,
    /// Nanoseconds a tick.
    pub scale: u64,
    pub tracks: Vec<Track>,
    pub blocks: Vec<Block>,
}

/// What the service's tags say of a fragment.
pub(crate) struct Stored {
    pub number: FragmentNumber,
    /// Milliseconds since 1970.
    pub producer_timestamp: u64,
    /// Milliseconds since 1970.
    pub server_timestamp: u64,
}

pub(crate) struct Track {
    pub number: u64,
    pub is_video: bool,
    /// Nanoseconds a frame.
    pub default_duration: Option<u64>,
}

/// A SimpleBlock or BlockGroup.
#[derive(Clone)]
pub(crate) struct Block {
    pub track: u64,
    /// Ticks, the cluster's timestamp added.
    pub time: i64,
    pub keyframe: bool,
    /// Ticks.
    pub duration: Option<u64>,
    /// The whole element.
    pub element: Bytes,
    /// Where the two bytes of the relative timestamp stand in `element`.
    pub relative_offset: usize,
}

impl Document {
    pub fn milliseconds(&self, ticks: i64) -> i64 {
        let milliseconds = i128::from(ticks) * i128::from(self.scale) / 1_000_000;
        i64::try_from(milliseconds).unwrap_or(i64::MAX)
    }

    /// The track whose keyframes begin fragments: the first video track that has blocks, else the first that has.
    pub fn leading_track(&self) -> Option<&Track> {
        let mut used = self.tracks.iter().filter(|track| self.blocks.iter().any(|block| block.track == track.number));
        let first = used.next()?;
        if first.is_video { Some(first) } else { used.find(|track| track.is_video).or(Some(first)) }
    }

    /// How long `blocks` last, in milliseconds: to the end of the leading track's last frame.
    pub fn duration(&self, blocks: &[Block]) -> u64 {
        let leading = self.leading_track().map(|track| track.number);
        let of_leading: Vec<&Block> = blocks.iter().filter(|block| Some(block.track) == leading).collect();
        let chosen = if of_leading.is_empty() { blocks.iter().collect() } else { of_leading };
        let times = || chosen.iter().map(|block| block.time);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return 0 };
        let begin = blocks.first().map_or(first, |block| block.time.min(first));
        let default_duration = self.leading_track().and_then(|track| track.default_duration);
        let last_ticks = chosen.iter().max_by_key(|block| block.time).and_then(|block| block.duration);
        let steps = chosen.len() as u64 - 1;
        let frame = match (last_ticks, default_duration) {
            (Some(ticks), _) => ticks.saturating_mul(self.scale),
            (None, Some(nanoseconds)) => nanoseconds,
            (None, None) if steps > 0 => last.abs_diff(first).saturating_mul(self.scale) / steps,
            (None, None) => 0,
        };
        let nanoseconds = u128::from(last.abs_diff(begin)) * u128::from(self.scale) + u128::from(frame);
        u64::try_from((nanoseconds + 500_000) / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// Takes bytes apart into their documents.
pub(crate) fn documents(bytes: &Bytes) -> Result<Vec<Document>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let mut documents = Vec::new();
    while cursor.peek()?.is_some() {
        documents.push(document(bytes, &mut cursor)?);
    }
    Ok(documents)
}

/// What is read of a document so far.
struct Reading<'a> {
    bytes: &'a Bytes,
    /// Pieces of the header, and of what follows once the media has begun.
    header: Vec<Bytes>,
    media: Vec<Bytes>,
    in_media: bool,
    tags: Vec<(String, String)>,
    document: Document,
}

fn document(bytes: &Bytes, cursor: &mut Cursor) -> Result<Document, Malformed> {
    let malformed = |offset, reason| Malformed { offset, reason };
    let ebml = cursor.advance()?.filter(|element| element.id == id::EBML);
    let ebml = ebml.ok_or_else(|| malformed(cursor.position, "no EBML header where a document begins"))?;
    let header = vec![cursor.whole(&ebml), matroska::unknown_size(id::SEGMENT).into()];
    let document = Document {
        header: Bytes::new(),
        media: Bytes::new(),
        stored: None,
        scale: 1_000_000,
        tracks: Vec::new(),
        blocks: Vec::new(),
    };
    let mut reading = Reading { bytes, header, media: Vec::new(), in_media: false, tags: Vec::new(), document };

    let segment = loop {
        match cursor.advance()? {
            Some(element) if element.id == id::SEGMENT => break element,
            Some(element) if element.id == id::VOID => {}
            _ => return Err(malformed(cursor.position, "no Segment behind the EBML header")),
        }
    };
    let outer_end = cursor.end;
    cursor.end = segment.end.unwrap_or(outer_end);
    cursor.position = segment.body;
    while let Some(element) = cursor.peek()? {
        if element.id == id::EBML {
            break;
        }
        cursor.advance()?;
        reading.element(cursor, &element)?;
    }
    cursor.end = outer_end;
    reading.finish()
}

impl Reading<'_> {
    fn element(&mut self, cursor: &mut Cursor, element: &Element) -> Result<(), Malformed> {
        match element.id {
            id::INFO => self.info(&mut cursor.children(element))?,
            id::TRACKS => self.tracks(&mut cursor.children(element))?,
            id::CLUSTER => {
                self.in_media = true;
                let end = self.cluster(cursor, element)?;
                cursor.position = end;
                self.media.push(self.bytes.slice(element.start..end));
                return Ok(());
            }
            id::TAGS => {
                let tags = matroska::read_tags(&cursor.body(element))?;
                if tags.iter().any(|(name, _)| metadata::is_services(name)) {
                    self.in_media = true;
                    self.tags.extend(tags);
                    return Ok(());
                }
            }
            _ => {}
        }
        let place = if self.in_media { &mut self.media } else { &mut self.header };
        place.push(cursor.whole(element));
        Ok(())
    }

    fn info(&mut self, children: &mut Cursor) -> Result<(), Malformed> {
        while let Some(child) = children.advance()? {
            if child.id == id::TIMESTAMP_SCALE {
                self.document.scale = matroska::unsigned(&children.body(&child)).max(1);
            }
        }
        Ok(())
    }

    fn tracks(&mut self, entries: &mut Cursor) -> Result<(), Malformed> {
        while let Some(entry) = entries.advance()? {
            if entry.id != id::TRACK_ENTRY {
                continue;
            }
            let mut track = Track { number: 0, is_video: false, default_duration: None };
            let mut fields = entries.children(&entry);
            while let Some(field) = fields.advance()? {
                let value = || matroska::unsigned(&fields.body(&field));
                match field.id {
                    id::TRACK_NUMBER => track.number = value(),
                    id::TRACK_TYPE => track.is_video = value() == 1,
                    id::DEFAULT_DURATION => track.default_duration = Some(value()),
                    _ => {}
                }
            }
            self.document.tracks.push(track);
        }
        Ok(())
    }

    /// Reads a cluster's blocks; answers where it ends.
    fn cluster(&mut self, cursor: &Cursor, cluster: &Element) -> Result<usize, Malformed> {
        let mut children = cursor.children(cluster);
        let mut timestamp = 0;
        while let Some(child) = children.peek()? {
            if cluster.end.is_none() && id::ends_cluster(child.id) {
                break;
            }
            children.advance()?;
            let body = children.body(&child);
            match child.id {
                id::TIMESTAMP => timestamp = i64::try_from(matroska::unsigned(&body)).unwrap_or(i64::MAX),
                id::SIMPLE_BLOCK => {
                    let head = matroska::block_head(&body)
                        .ok_or(Malformed { offset: child.start, reason: "a block without a head" })?;
                    self.document.blocks.push(Block {
                        track: head.track,
                        time: timestamp.saturating_add(i64::from(head.relative)),
                        keyframe: head.flags & 0x80 != 0,
                        duration: None,
                        element: children.whole(&child),
                        relative_offset: child.body - child.start + head.relative_offset,
                    });
                }
                id::BLOCK_GROUP => self.block_group(&children, &child, timestamp)?,
                _ => {}
            }
        }
        Ok(children.position)
    }

    fn block_group(&mut self, cursor: &Cursor, group: &Element, timestamp: i64) -> Result<(), Malformed> {
        let (mut block, mut keyframe, mut duration) = (None, true, None);
        let mut children = cursor.children(group);
        while let Some(child) = children.advance()? {
            let body = children.body(&child);
            match child.id {
                id::BLOCK => block = matroska::block_head(&body).map(|head| (head, child.body - group.start)),
                id::REFERENCE_BLOCK => keyframe = false,
                id::BLOCK_DURATION => duration = Some(matroska::unsigned(&body)),
                _ => {}
            }
        }
        let (head, offset) = block.ok_or(Malformed { offset: group.start, reason: "a block group without a block" })?;
        self.document.blocks.push(Block {
            track: head.track,
            time: timestamp.saturating_add(i64::from(head.relative)),
            keyframe,
            duration,
            element: cursor.whole(group),
            relative_offset: offset + head.relative_offset,
        });
        Ok(())
    }

    fn finish(self) -> Result<Document, Malformed> {
        let tag = |name| self.tags.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.as_str());
        let stored = tag("AWS_KINESISVIDEO_FRAGMENT_NUMBER").and_then(|number| {
            Some(Stored {
                number: number.parse().ok()?,
                producer_timestamp: milliseconds(tag("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP")?)?,
                server_timestamp: milliseconds(tag("AWS_KINESISVIDEO_SERVER_TIMESTAMP")?)?,
            })
        });
        let (header, media) = (join(&self.header), join(&self.media));
        Ok(Document { header, media, stored, ..self.document })
    }
}

fn join(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [only] => only.clone(),
        pieces => pieces.concat().into(),
    }
}

/// Milliseconds of a text of seconds with decimals.
fn milliseconds(seconds: &str) -> Option<u64> {
    let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, ""));
    let decimals = format!("{decimals:0<3}");
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(decimals.get(..3)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_millisecond() {
        assert_eq!(milliseconds("1511852108.513"), Some(1_511_852_108_513));
        assert_eq!(milliseconds("5"), Some(5000));
        assert_eq!(milliseconds("5.5"), Some(5500));
        assert_eq!(milliseconds("x"), None);
    }
}
