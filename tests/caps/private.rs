//! What codecs have in CodecPrivate.

/// Bits put together from the top.
#[derive(Default)]
pub struct Bits(Vec<bool>);

impl Bits {
    pub fn put(mut self, count: u32, value: u32) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at));
        self.0.chunks(8).map(byte).collect()
    }
}

/// A WAVEFORMATEX with data behind it.
pub fn wave(format_tag: u16, channels: u16, rate: u32, block_align: u16, bits: u16, extra: &[u8]) -> Vec<u8> {
    let mut private = Vec::new();
    for word in [format_tag, channels] {
        private.extend(word.to_le_bytes());
    }
    private.extend(rate.to_le_bytes());
    private.extend((rate * u32::from(block_align)).to_le_bytes());
    for word in [block_align, bits, u16::try_from(extra.len()).expect("short")] {
        private.extend(word.to_le_bytes());
    }
    private.extend(extra);
    private
}

/// An OpusHead; `mapping` is what follows the family.
pub fn opus_head(channels: u8, pre_skip: u16, rate: u32, family: u8, mapping: &[u8]) -> Vec<u8> {
    let mut head = [&b"OpusHead\x01"[..], &[channels]].concat();
    head.extend(pre_skip.to_le_bytes());
    head.extend(rate.to_le_bytes());
    head.extend([0, 0, family]);
    head.extend(mapping);
    head
}
