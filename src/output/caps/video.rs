//! Video tracks: media type, picture size, pixel aspect ratio, frame rate, interlacing.

use bytes::Bytes;

use super::{CapsError, avc, bytes_at, codec_private, colorimetry, hevc};
use crate::mkv::{Track, Video};

/// Size of a BITMAPINFOHEADER; what follows it is the codec's own.
const BITMAP_INFO_HEADER_SIZE: usize = 40;
const NANOSECONDS: u64 = 1_000_000_000;

/// Every format that [`structure`] can give.
pub(super) fn template_caps() -> gst::Caps {
    gst::Caps::builder_full()
        .structure(
            gst::Structure::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build(),
        )
        .structure(gst::Structure::builder("video/x-h264").field("stream-format", "byte-stream").build())
        .structure(
            gst::Structure::builder("video/x-h265").field("stream-format", "hvc1").field("alignment", "au").build(),
        )
        .structure(gst::Structure::builder("video/x-h265").field("stream-format", "byte-stream").build())
        .structure(gst::Structure::new_empty("video/x-vp8"))
        .structure(gst::Structure::new_empty("video/x-vp9"))
        .structure(
            gst::Structure::builder("video/x-av1")
                .field("stream-format", "obu-stream")
                .field("alignment", "tu")
                .build(),
        )
        .structure(gst::Structure::new_empty("image/jpeg"))
        .build()
}

/// The caps of a video track.
pub(super) fn structure(track: &Track, video: &Video) -> Result<gst::Structure, CapsError> {
    let mut structure = match track.codec_id.as_str() {
        "V_MPEG4/ISO/AVC" => avc::structure(track)?,
        "V_MPEGH/ISO/HEVC" => hevc::structure(track)?,
        "V_VP8" => gst::Structure::new_empty("video/x-vp8"),
        "V_VP9" => gst::Structure::new_empty("video/x-vp9"),
        "V_AV1" => av1(track),
        "V_MJPEG" => gst::Structure::new_empty("image/jpeg"),
        "V_MS/VFW/FOURCC" => video_for_windows(track)?,
        _ => return Err(CapsError::unsupported_codec(track)),
    };
    if let (Some(width), Some(height)) = (positive(video.pixel_width), positive(video.pixel_height)) {
        structure.set("width", width);
        structure.set("height", height);
    }
    if let Some(ratio) = pixel_aspect_ratio(video) {
        structure.set("pixel-aspect-ratio", ratio);
    }
    structure.set("framerate", frame_rate(track.default_duration.unwrap_or(0)));
    set_interlacing(&mut structure, video);
    if let Some(colorimetry) = video.colour.as_ref().and_then(colorimetry::colorimetry) {
        structure.set("colorimetry", colorimetry);
    }
    Ok(structure)
}

/// AV1: a block is a temporal unit of OBUs with sizes; CodecPrivate is an av1C box. One of another kind, as early
/// muxers wrote it, is left out, since parsers take `codec_data` at its word.
fn av1(track: &Track) -> gst::Structure {
    let configuration = codec_private(track).filter(|private| private.len() >= 4 && private.first() == Some(&0x81));
    gst::Structure::builder("video/x-av1")
        .field("stream-format", "obu-stream")
        .field("alignment", "tu")
        .field_if_some("codec_data", configuration.cloned().map(gst::Buffer::from_slice))
        .build()
}

/// Video for Windows: a BITMAPINFOHEADER names the codec. Only Motion JPEG is served: blocks of H.264 and H.265 in
/// this form carry decoding times and no telling what their stream format is.
fn video_for_windows(track: &Track) -> Result<gst::Structure, CapsError> {
    let private = codec_private(track).ok_or_else(|| CapsError::missing_codec_private(track))?;
    let too_short = || CapsError::invalid_codec_private(track, "shorter than a BITMAPINFOHEADER");
    let width = i32::from_le_bytes(bytes_at(private, 4).ok_or_else(too_short)?);
    let height = i32::from_le_bytes(bytes_at(private, 8).ok_or_else(too_short)?);
    let fourcc: [u8; 4] = bytes_at(private, 16).ok_or_else(too_short)?;
    if !matches!(&fourcc, b"MJPG" | b"mjpg" | b"mJPG" | b"JPEG" | b"jpeg") {
        return Err(CapsError::UnsupportedFourcc {
            codec_id: track.codec_id.clone(),
            fourcc: fourcc.escape_ascii().to_string(),
        });
    }
    let extra = private.get(BITMAP_INFO_HEADER_SIZE..).filter(|extra| !extra.is_empty()).map(Bytes::copy_from_slice);
    Ok(gst::Structure::builder("image/jpeg")
        .field("parsed", true)
        .field("width", width)
        .field("height", height.saturating_abs())
        .field_if_some("codec_data", extra.map(gst::Buffer::from_slice))
        .build())
}

/// A dimension that caps can carry.
fn positive(pixels: u32) -> Option<i32> {
    i32::try_from(pixels).ok().filter(|pixels| *pixels > 0)
}

/// Display size over pixel size; `None` where the track tells no display size. The display unit does not matter:
/// pixels, lengths and aspect ratios all divide to the same shape.
fn pixel_aspect_ratio(video: &Video) -> Option<gst::Fraction> {
    let display_width = video.display_width.filter(|width| *width > 0);
    let display_height = video.display_height.filter(|height| *height > 0);
    if display_width.is_none() && display_height.is_none() {
        return None;
    }
    let display_width = display_width.unwrap_or(video.pixel_width);
    let display_height = display_height.unwrap_or(video.pixel_height);
    fraction(
        u64::from(display_width) * u64::from(video.pixel_height),
        u64::from(display_height) * u64::from(video.pixel_width),
    )
}

/// The frame rate for a frame duration in ns: the common rate (N, N/2, N/3, N/4, N·1000/1001) nearest to it within
/// 0.1 %, else its reciprocal at 10 µs precision, as gst_video_guess_framerate finds it. 0/1 where unknown.
fn frame_rate(duration: u64) -> gst::Fraction {
    let unknown = gst::Fraction::new(0, 1);
    if duration == 0 {
        return unknown;
    }
    let mut best = if duration > 100_000 { (NANOSECONDS / 10_000, duration / 10_000) } else { (NANOSECONDS, duration) };
    let mut best_error = u64::MAX;
    for denominator in [1_u64, 2, 3, 4, 1001] {
        // At most 1001 s in ns plus half of a u64: no overflow once halved before the sum.
        let total = denominator * NANOSECONDS;
        let mut numerator = total / duration + u64::from(total % duration >= duration.div_ceil(2));
        if denominator == 1001 {
            numerator = (numerator + 500) / 1000 * 1000;
        }
        if numerator == 0 {
            continue;
        }
        let error = (total / numerator).abs_diff(duration);
        if error < 2 {
            best = (numerator, denominator);
            break;
        }
        if error < duration.div_ceil(1000) && error < best_error {
            best_error = error;
            best = (numerator, denominator);
        }
    }
    fraction(best.0, best.1).unwrap_or(unknown)
}

/// A reduced fraction; `None` where it has no value or no room in 32 bits.
fn fraction(numerator: u64, denominator: u64) -> Option<gst::Fraction> {
    let (mut divisor, mut rest) = (numerator, denominator);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let numerator = i32::try_from(numerator.checked_div(divisor)?).ok().filter(|value| *value > 0)?;
    let denominator = i32::try_from(denominator.checked_div(divisor)?).ok().filter(|value| *value > 0)?;
    Some(gst::Fraction::new(numerator, denominator))
}

/// FlagInterlaced and FieldOrder (RFC 9559 section 5.1.4.1.28.1 and .2).
fn set_interlacing(structure: &mut gst::StructureRef, video: &Video) {
    match (video.interlaced, video.field_order) {
        (2, _) | (1, 0) => structure.set("interlace-mode", "progressive"),
        (1, field_order) => {
            structure.set("interlace-mode", "interleaved");
            match field_order {
                9 => structure.set("field-order", "top-field-first"),
                14 => structure.set("field-order", "bottom-field-first"),
                _ => {}
            }
        }
        _ => {}
    }
}
