//! Vorbis and FLAC: the stream headers in CodecPrivate.

use bytes::Bytes;

use super::audio::Format;
use super::{CapsError, bytes_at, codec_private, stream_header_array};
use crate::mkv::{Audio, Track};

/// More FLAC metadata blocks than any encoder writes; keeps a hostile header from becoming a buffer every four bytes.
const MOST_METADATA_BLOCKS: usize = 1024;

/// The caps of an A_VORBIS track.
pub(super) fn vorbis(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    structure("audio/x-vorbis", track, audio, vorbis_headers(track)?)
}

/// The caps of an A_FLAC track.
pub(super) fn flac(track: &Track, audio: &Audio) -> Result<gst::Structure, CapsError> {
    structure("audio/x-flac", track, audio, flac_headers(track)?)
}

fn structure(name: &str, track: &Track, audio: &Audio, headers: Vec<Bytes>) -> Result<gst::Structure, CapsError> {
    let format = Format::new(track, audio, None)?;
    Ok(gst::Structure::builder(name)
        .field("channels", format.channels)
        .field("rate", format.rate)
        .field("streamheader", stream_header_array(headers))
        .build())
}

/// The identification, comment and setup headers, laced as Xiph does: their number less one, the sizes of all but the
/// last in runs of bytes that end with one below 255, then the headers.
pub(super) fn vorbis_headers(track: &Track) -> Result<Vec<Bytes>, CapsError> {
    let private = codec_private(track).ok_or_else(|| CapsError::missing_codec_private(track))?;
    let invalid = |reason| CapsError::invalid_codec_private(track, reason);
    let mut bytes = private.iter().map(|byte| usize::from(*byte));
    if bytes.next() != Some(2) {
        return Err(invalid("not three Vorbis headers"));
    }
    let mut position = 1_usize;
    let mut sizes = [0_usize; 2];
    for size in &mut sizes {
        loop {
            let byte = bytes.next().ok_or_else(|| invalid("ends inside the sizes of the Vorbis headers"))?;
            position += 1;
            *size += byte;
            if byte < 255 {
                break;
            }
        }
    }
    let [first, second] = sizes;
    let comment = position + first;
    let setup = comment + second;
    if setup > private.len() {
        return Err(invalid("ends inside the Vorbis headers"));
    }
    let headers = vec![private.slice(position..comment), private.slice(comment..setup), private.slice(setup..)];
    for (header, kind) in headers.iter().zip([1_u8, 3, 5]) {
        if header.first() != Some(&kind) || header.get(1..7) != Some(b"vorbis") {
            return Err(invalid("not three Vorbis headers"));
        }
    }
    Ok(headers)
}

/// `fLaC`, STREAMINFO and the metadata blocks behind it.
pub(super) fn flac_headers(track: &Track) -> Result<Vec<Bytes>, CapsError> {
    let private = codec_private(track).ok_or_else(|| CapsError::missing_codec_private(track))?;
    let invalid = |reason| CapsError::invalid_codec_private(track, reason);
    if !private.starts_with(b"fLaC") {
        return Err(invalid("does not begin with fLaC"));
    }
    // STREAMINFO is of type 0 and 34 bytes long; the top bit marks the last block.
    let stream_info: [u8; 4] = bytes_at(private, 4).ok_or_else(|| invalid("no STREAMINFO"))?;
    if !matches!(stream_info, [0 | 0x80, 0, 0, 34]) {
        return Err(invalid("no STREAMINFO"));
    }
    let mut headers = vec![private.slice(..4)];
    let mut position = 4_usize;
    while let Some([_, s0, s1, s2]) = bytes_at(private, position) {
        let size = usize::try_from(u32::from_be_bytes([0, s0, s1, s2])).unwrap_or(usize::MAX);
        let end = position.saturating_add(4).saturating_add(size);
        if end > private.len() {
            return Err(invalid("ends inside a FLAC metadata block"));
        }
        if headers.len() > MOST_METADATA_BLOCKS {
            return Err(invalid("too many FLAC metadata blocks"));
        }
        headers.push(private.slice(position..end));
        position = end;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::super::{stream_headers, test, track_caps};

    fn vorbis(comment: usize) -> (Vec<u8>, [Vec<u8>; 3]) {
        let header = |kind: u8, size: usize| [&[kind], &b"vorbis"[..], &vec![kind; size]].concat();
        let headers = [header(1, 23), header(3, comment), header(5, 600)];
        let mut private = vec![2, 30];
        private.extend(vec![255; (comment + 7) / 255]);
        private.push(u8::try_from((comment + 7) % 255).expect("below 255"));
        (private.into_iter().chain(headers.concat()).collect(), headers)
    }

    fn flac(blocks: &[&[u8]]) -> Vec<u8> {
        let mut private = b"fLaC\0\0\0\x22".to_vec();
        private.extend([7; 34]);
        private.extend(blocks.concat());
        private
    }

    #[test]
    fn three_laced_vorbis_headers() {
        for comment in [0, 40, 248, 503, 1000] {
            let (private, headers) = vorbis(comment);
            let track = test::audio("A_VORBIS", &private, test::STEREO);
            assert_eq!(stream_headers(&track), headers);
            let caps = track_caps(&track).expect("caps");
            let array = caps.structure(0).expect("one structure").get::<gst::Array>("streamheader").expect("headers");
            assert_eq!(array.len(), 3);
        }
    }

    #[test]
    fn flac_marker_and_metadata_blocks() {
        let track = test::audio("A_FLAC", &flac(&[&[4, 0, 0, 2, 8, 9], &[0x81, 0, 0, 0]]), test::STEREO);
        let headers = stream_headers(&track);
        assert_eq!(headers.len(), 4);
        assert_eq!((&headers[0][..], headers[1].len()), (&b"fLaC"[..], 38));
        assert_eq!((&headers[2][..], &headers[3][..]), (&[4, 0, 0, 2, 8, 9][..], &[0x81, 0, 0, 0][..]));
        assert!(
            test::caps(&track).starts_with(
                "audio/x-flac, channels=(int)2, rate=(int)48000, streamheader=(buffer)< 664c6143, 00000022"
            )
        );
    }

    #[test]
    fn every_cut_is_an_error() {
        let (private, _) = vorbis(300);
        // The last header has no size of its own: only its first bytes can be missed.
        let setup = private.len() - 600;
        for (codec_id, private, end) in [("A_VORBIS", private, setup), ("A_FLAC", flac(&[]), 42)] {
            for length in 0..end {
                let track = test::audio(codec_id, &private[..length], test::STEREO);
                track_caps(&track).expect_err("cut short");
                assert!(stream_headers(&track).is_empty());
            }
        }
    }

    #[test]
    fn blocks_without_end() {
        let track = test::audio("A_FLAC", &flac(&vec![&[1, 0, 0, 0][..]; 200_000]), test::STEREO);
        assert_eq!(
            track_caps(&track).expect_err("too many").to_string(),
            "CodecPrivate of codec A_FLAC is invalid: too many FLAC metadata blocks"
        );
        let track = test::audio("A_FLAC", &flac(&[&[1, 0, 0, 9, 0]]), test::STEREO);
        assert_eq!(
            track_caps(&track).expect_err("cut short").to_string(),
            "CodecPrivate of codec A_FLAC is invalid: ends inside a FLAC metadata block"
        );
    }
}
