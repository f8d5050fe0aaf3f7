//! GetMedia bodies put together by hand, for what no capture holds.

/// One fragment and the header before it.
#[derive(Clone)]
pub struct Fragment {
    pub number: u64,
    /// Producer timestamp in ms since 1970, and by how much the server timestamp is later.
    pub producer_ms: u64,
    pub delay_ms: u64,
    /// The cluster's own time, in ticks.
    pub cluster: u64,
    /// ns a tick.
    pub scale: u64,
    pub tracks: Vec<Track>,
    pub blocks: Vec<Block>,
    /// The producer's own tags, before the cluster.
    pub tags: Vec<(String, String)>,
    /// The same, behind it.
    pub late_tags: Vec<(String, String)>,
    pub millis_behind_now: u64,
}

#[derive(Clone)]
pub struct Track {
    pub number: u8,
    /// 1 video, 2 audio.
    pub kind: u8,
    pub codec: &'static str,
    pub private: Vec<u8>,
    pub name: &'static str,
    /// Further elements of the TrackEntry.
    pub more: Vec<u8>,
}

#[derive(Clone)]
pub struct Block {
    pub track: u8,
    pub time: i16,
    pub keyframe: bool,
    pub payload: Vec<u8>,
}

/// 2026-01-05T10:00:00Z, in ms.
pub const START_MS: u64 = 1_767_607_200_000;

impl Track {
    /// 8 kHz A-law in one channel: frames of any bytes at all are good ones.
    pub fn alaw(number: u8, name: &'static str) -> Self {
        let format: [u8; 18] = [6, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x40, 0x1F, 0, 0, 1, 0, 8, 0, 0, 0];
        Self { number, kind: 2, codec: "A_MS/ACM", private: format.to_vec(), name, more: Vec::new() }
    }

    fn entry(&self) -> Vec<u8> {
        let mut entry = [unsigned(&[0xD7], self.number.into()), unsigned(&[0x73, 0xC5], self.number.into())].concat();
        entry.extend(unsigned(&[0x83], self.kind.into()));
        entry.extend(element(&[0x86], self.codec.as_bytes()));
        entry.extend(element(&[0x53, 0x6E], self.name.as_bytes()));
        if !self.private.is_empty() {
            entry.extend(element(&[0x63, 0xA2], &self.private));
        }
        if self.kind == 2 {
            let rate = element(&[0xB5], &8000_f64.to_be_bytes());
            entry.extend(element(&[0xE1], &[rate, unsigned(&[0x9F], 1)].concat()));
        }
        entry.extend(&self.more);
        element(&[0xAE], &entry)
    }
}

impl Fragment {
    /// A-law frames of 20 ms, the `index`th fragment of a second.
    pub fn audio(index: u64, frames: i16) -> Self {
        let blocks = (0..frames).map(|frame| Block {
            track: 1,
            time: frame * 20,
            keyframe: true,
            payload: vec![u8::try_from(index).unwrap(), u8::try_from(frame).unwrap(), 0xAA],
        });
        Self {
            number: 100 + index,
            producer_ms: START_MS + index * 1000,
            delay_ms: 1000,
            cluster: index * 1000,
            scale: 1_000_000,
            tracks: vec![Track::alaw(1, "microphone")],
            blocks: blocks.collect(),
            tags: Vec::new(),
            late_tags: Vec::new(),
            millis_behind_now: 0,
        }
    }

    /// Its document, as the service lays it out.
    pub fn bytes(&self) -> Vec<u8> {
        let mut document = self.until_cluster();
        document.extend(self.cluster());
        document.extend(self.end());
        document
    }

    /// Its header.
    pub fn until_tags(&self) -> Vec<u8> {
        let ebml =
            [element(&[0x42, 0x82], b"matroska"), unsigned(&[0x42, 0x87], 4), unsigned(&[0x42, 0x85], 2)].concat();
        let mut document = element(&[0x1A, 0x45, 0xDF, 0xA3], &ebml);
        document.extend([0x18, 0x53, 0x80, 0x67, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let info = [
            unsigned(&[0x2A, 0xD7, 0xB1], self.scale),
            element(&[0x4D, 0x80], b"test"),
            element(&[0x57, 0x41], b"test"),
        ];
        document.extend(element(&[0x15, 0x49, 0xA9, 0x66], &info.concat()));
        let entries: Vec<u8> = self.tracks.iter().flat_map(Track::entry).collect();
        document.extend(element(&[0x16, 0x54, 0xAE, 0x6B], &entries));
        document
    }

    pub fn until_cluster(&self) -> Vec<u8> {
        let mut document = self.until_tags();
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let mut all = vec![
            ("AWS_KINESISVIDEO_FRAGMENT_NUMBER".to_owned(), self.number.to_string()),
            ("AWS_KINESISVIDEO_SERVER_TIMESTAMP".to_owned(), seconds(self.producer_ms + self.delay_ms)),
            ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP".to_owned(), seconds(self.producer_ms)),
        ];
        all.extend(self.tags.clone());
        document.extend(tags(&all));
        document
    }

    fn cluster(&self) -> Vec<u8> {
        let mut cluster = unsigned(&[0xE7], self.cluster);
        for block in &self.blocks {
            let mut bytes = vec![0x80 | block.track];
            bytes.extend(block.time.to_be_bytes());
            bytes.push(if block.keyframe { 0x80 } else { 0 });
            bytes.extend(&block.payload);
            cluster.extend(element(&[0xA3], &bytes));
        }
        element(&[0x1F, 0x43, 0xB6, 0x75], &cluster)
    }

    fn end(&self) -> Vec<u8> {
        let mut end = if self.late_tags.is_empty() { Vec::new() } else { tags(&self.late_tags) };
        end.extend(tags(&[
            ("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW".to_owned(), self.millis_behind_now.to_string()),
            ("AWS_KINESISVIDEO_CONTINUATION_TOKEN".to_owned(), self.number.to_string()),
        ]));
        end
    }
}

/// One body of these fragments.
pub fn body(fragments: &[Fragment]) -> Vec<u8> {
    fragments.iter().flat_map(Fragment::bytes).collect()
}

pub fn tags(all: &[(String, String)]) -> Vec<u8> {
    let simple = |(name, value): &(String, String)| {
        let pair = [element(&[0x45, 0xA3], name.as_bytes()), element(&[0x44, 0x87], value.as_bytes())];
        element(&[0x67, 0xC8], &pair.concat())
    };
    let tag = [element(&[0x63, 0xC0], &[]), all.iter().flat_map(simple).collect()].concat();
    element(&[0x12, 0x54, 0xC3, 0x67], &element(&[0x73, 0x73], &tag))
}

pub fn unsigned(id: &[u8], value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// An element with its size in 8 bytes.
pub fn element(id: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = (payload.len() as u64 | 1 << 56).to_be_bytes();
    [id, &size, payload].concat()
}
