//! Video tracks: media type, picture size, pixel aspect ratio, frame rate, interlacing.

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
    let extra = (private.len() > BITMAP_INFO_HEADER_SIZE).then(|| private.slice(BITMAP_INFO_HEADER_SIZE..));
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

#[cfg(test)]
mod tests {
    use super::super::{test, track_caps};
    use super::*;
    use crate::mkv::{Colour, TrackKind};

    #[test]
    fn the_common_rate_within_a_thousandth() {
        for (duration, numerator, denominator) in [
            (0, 0, 1),
            (33_333_333, 30, 1),
            (33_366_667, 30000, 1001),
            (33_370_000, 30000, 1001),
            (41_708_333, 24000, 1001),
            (40_000_000, 25, 1),
            (133_333_333, 15, 2),
            (33_000_000, 91, 3),
            (10_000_000_000, 1, 10),
            (1, 1_000_000_000, 1),
            (u64::MAX, 0, 1),
            (i64::MAX.unsigned_abs(), 0, 1),
        ] {
            assert_eq!(frame_rate(duration), gst::Fraction::new(numerator, denominator), "{duration} ns");
        }
    }

    #[test]
    fn sizes_ratios_interlacing_and_colours() {
        let colour = Colour { primaries: Some(1), range: Some(1), ..Colour::default() };
        let video = Video {
            pixel_width: 720,
            pixel_height: 576,
            display_width: Some(1024),
            interlaced: 1,
            field_order: 9,
            colour: Some(colour),
            ..Video::default()
        };
        let mut track = test::video("V_VP8", &[]);
        track.kind = TrackKind::Video(video);
        track.default_duration = Some(40_000_000);
        assert_eq!(
            test::caps(&track),
            "video/x-vp8, width=(int)720, height=(int)576, pixel-aspect-ratio=(fraction)64/45, \
             framerate=(fraction)25/1, interlace-mode=(string)interleaved, field-order=(string)top-field-first, \
             colorimetry=(string)2:0:0:1"
        );
    }

    #[test]
    fn what_caps_cannot_hold_is_left_out() {
        for (pixel_width, pixel_height, display_width) in
            [(0, 360, Some(640)), (u32::MAX, 1, Some(1)), (u32::MAX, u32::MAX, Some(u32::MAX - 1)), (640, 0, None)]
        {
            let video = Video { pixel_width, pixel_height, display_width, ..Video::default() };
            let mut track = test::video("V_VP8", &[]);
            track.kind = TrackKind::Video(video);
            assert_eq!(test::caps(&track), "video/x-vp8, framerate=(fraction)0/1");
        }
    }

    #[test]
    fn video_for_windows_is_motion_jpeg_or_refused() {
        let mut header = [0; 42];
        header[4..6].copy_from_slice(&[0x80, 2]);
        header[8..12].copy_from_slice(&(-480_i32).to_le_bytes());
        header[16..20].copy_from_slice(b"MJPG");
        assert_eq!(
            test::caps(&test::video("V_MS/VFW/FOURCC", &header)),
            "image/jpeg, parsed=(boolean)true, width=(int)640, height=(int)480, codec_data=(buffer)0000, \
             framerate=(fraction)0/1"
        );
        header[16..20].copy_from_slice(b"H2\0\xff");
        let error = track_caps(&test::video("V_MS/VFW/FOURCC", &header)).expect_err("no such FourCC").to_string();
        assert_eq!(error, r"codec V_MS/VFW/FOURCC with FourCC 'H2\x00\xff' has no elementary format");
        let error = track_caps(&test::video("V_MS/VFW/FOURCC", &header[..19])).expect_err("too short").to_string();
        assert_eq!(error, "CodecPrivate of codec V_MS/VFW/FOURCC is invalid: shorter than a BITMAPINFOHEADER");
    }
}
