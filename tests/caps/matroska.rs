//! Writes small Matroska files with any TrackEntry.

/// A TrackEntry. Only what is set is written.
#[derive(Clone, Default)]
pub struct Entry {
    /// TrackType: 1 video, 2 audio.
    pub kind: u64,
    pub codec_id: &'static str,
    pub codec_private: Vec<u8>,
    pub default_duration: Option<u64>,
    pub codec_delay: Option<u64>,
    /// Children of the Video or Audio element.
    pub settings: Vec<Vec<u8>>,
}

/// A file with these tracks and one block for each.
pub fn file(entries: &[Entry]) -> Vec<u8> {
    let header = master(0x1a45_dfa3, &[element(0x4282, b"matroska"), uint(0x4287, 4), uint(0x4285, 2)]);
    let tracks: Vec<_> = entries.iter().zip(1..).map(|(entry, number)| track_entry(entry, number)).collect();
    let blocks = (1..=entries.len()).map(|number| {
        // The track number in two bytes, 0 ticks, keyframe.
        let [high, low] = u16::try_from(number).expect("few tracks").to_be_bytes();
        element(0xa3, &[0x40 | high, low, 0, 0, 0x80, 1, 2, 3, 4])
    });
    let cluster: Vec<_> = std::iter::once(uint(0xe7, 0)).chain(blocks).collect();
    let segment = [
        master(0x1549_a966, &[uint(0x2a_d7b1, 1_000_000)]),
        master(0x1654_ae6b, &tracks),
        master(0x1f43_b675, &cluster),
    ];
    [header, master(0x1853_8067, &segment)].concat()
}

fn track_entry(entry: &Entry, number: u64) -> Vec<u8> {
    let mut children = vec![
        uint(0xd7, number),
        uint(0x73c5, number),
        uint(0x83, entry.kind),
        element(0x86, entry.codec_id.as_bytes()),
    ];
    if !entry.codec_private.is_empty() {
        children.push(element(0x63a2, &entry.codec_private));
    }
    children.extend(entry.default_duration.map(|duration| uint(0x23_e383, duration)));
    children.extend(entry.codec_delay.map(|delay| uint(0x56aa, delay)));
    if !entry.settings.is_empty() {
        children.push(master(if entry.kind == 1 { 0xe0 } else { 0xe1 }, &entry.settings));
    }
    master(0xae, &children)
}

pub fn master(id: u32, children: &[Vec<u8>]) -> Vec<u8> {
    element(id, &children.concat())
}

pub fn uint(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

pub fn float(id: u32, value: f64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

pub fn element(id: u32, data: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let size = u32::try_from(data.len()).expect("small element").to_be_bytes();
    let first = id.iter().position(|byte| *byte != 0).expect("an ID");
    [&id[first..], &[0x08], &size, data].concat()
}

/// A video track of 640 by 360 pixels.
pub fn video(codec_id: &'static str, codec_private: Vec<u8>, settings: &[Vec<u8>]) -> Entry {
    let size = [uint(0xb0, 640), uint(0xba, 360)];
    let settings = size.into_iter().chain(settings.iter().cloned()).collect();
    Entry { kind: 1, codec_id, codec_private, settings, ..Entry::default() }
}

/// An audio track.
pub fn audio(codec_id: &'static str, codec_private: Vec<u8>, rate: f64, channels: u64, bits: u64) -> Entry {
    let settings = vec![float(0xb5, rate), uint(0x9f, channels), uint(0x6264, bits)];
    Entry { kind: 2, codec_id, codec_private, settings, ..Entry::default() }
}
