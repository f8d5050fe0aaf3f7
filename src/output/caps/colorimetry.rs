//! The Colour element as a GStreamer colorimetry string.

use crate::mkv::Colour;

/// Colorimetries that have a name, as [range, matrix, transfer, primaries] in GStreamer's numbers.
const NAMED: [(&str, [u8; 4]); 8] = [
    ("bt601", [2, 4, 16, 4]),
    ("bt709", [2, 3, 5, 1]),
    ("smpte240m", [2, 5, 6, 5]),
    ("sRGB", [1, 1, 7, 1]),
    ("bt2020", [2, 6, 11, 7]),
    ("bt2020-10", [2, 6, 13, 7]),
    ("bt2100-pq", [2, 6, 14, 7]),
    ("bt2100-hlg", [2, 6, 15, 7]),
];

/// A name, or `range:matrix:transfer:primaries` in GStreamer's numbers; `None` where nothing is known.
pub(super) fn colorimetry(colour: &Colour) -> Option<String> {
    let [range, matrix, transfer, primaries] = [
        colour.range.map_or(0, range),
        colour.matrix_coefficients.map_or(0, matrix),
        colour.transfer_characteristics.map_or(0, transfer),
        colour.primaries.map_or(0, primaries),
    ];
    let numbers = [range, matrix, transfer, primaries];
    if numbers == [0; 4] {
        return None;
    }
    let name = NAMED.iter().find(|(_, named)| *named == numbers).map(|(name, _)| (*name).to_owned());
    Some(name.unwrap_or_else(|| format!("{range}:{matrix}:{transfer}:{primaries}")))
}

/// GstVideoColorRange of a Range (RFC 9559 section 5.1.4.1.28.24).
fn range(value: u64) -> u8 {
    match value {
        1 => 2,
        2 => 1,
        _ => 0,
    }
}

/// GstVideoColorMatrix of an H.273 MatrixCoefficients.
fn matrix(value: u64) -> u8 {
    match value {
        0 => 1,
        1 => 3,
        4 => 2,
        5 | 6 => 4,
        7 => 5,
        9 => 6,
        _ => 0,
    }
}

/// GstVideoTransferFunction of an H.273 TransferCharacteristics.
fn transfer(value: u64) -> u8 {
    match value {
        1 => 5,
        4 => 4,
        5 => 8,
        6 => 16,
        7 => 6,
        8 => 1,
        9 => 9,
        10 => 10,
        13 => 7,
        14 => 13,
        15 => 11,
        16 => 14,
        18 => 15,
        _ => 0,
    }
}

/// GstVideoColorPrimaries of an H.273 ColourPrimaries.
fn primaries(value: u64) -> u8 {
    match value {
        1 => 1,
        4 => 2,
        5 => 3,
        6 => 4,
        7 => 5,
        8 => 6,
        9 => 7,
        10 => 9,
        11 => 10,
        12 => 11,
        22 => 12,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(matrix: u64, transfer: u64, primaries: u64, range: u64) -> Option<String> {
        colorimetry(&Colour {
            matrix_coefficients: Some(matrix),
            transfer_characteristics: Some(transfer),
            primaries: Some(primaries),
            range: Some(range),
        })
    }

    #[test]
    fn names_numbers_and_nothing() {
        assert_eq!(of(1, 1, 1, 1).as_deref(), Some("bt709"));
        assert_eq!(of(6, 6, 6, 1).as_deref(), Some("bt601"));
        assert_eq!(of(0, 13, 1, 2).as_deref(), Some("sRGB"));
        assert_eq!(of(9, 16, 9, 1).as_deref(), Some("bt2100-pq"));
        assert_eq!(of(1, 1, 1, 2).as_deref(), Some("1:3:5:1"));
        assert_eq!(of(2, 2, 2, 0), None);
        assert_eq!(of(u64::MAX, 99, 3, 3), None);
        assert_eq!(colorimetry(&Colour::default()), None);
    }
}
