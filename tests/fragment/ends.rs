//! What is known of a fragment once it is whole.

use gstkvs::fragment::{FragmentEnd, FrameReader, Output, Range};

use super::body::{Fragment, START_MS, body};

const LATE: (&str, &str) = ("weather", "rain");

fn fragments() -> Vec<Fragment> {
    let pair = |(name, value): (&str, &str)| vec![(name.to_owned(), value.to_owned())];
    (0..4)
        .map(|index| Fragment {
            millis_behind_now: 3000 - index * 1000,
            late_tags: if index == 2 { pair(LATE) } else { Vec::new() },
            ..Fragment::audio(index, 6)
        })
        .collect()
}

/// The ends in a body, and how far behind the fragments' beginnings said to be.
fn read(reader: &mut FrameReader, body: Vec<u8>) -> (Vec<FragmentEnd>, Vec<Option<u64>>) {
    reader.push(body.into());
    let (mut ends, mut behind) = (Vec::new(), Vec::new());
    while let Some(output) = reader.next().unwrap() {
        match output {
            Output::Start(fragment) => behind.push(fragment.millis_behind_now),
            Output::End(end) => ends.push(end),
            Output::Block(_) | Output::Dropped(_) | Output::Repeated(_) | Output::RangeEnd => {}
        }
    }
    (ends, behind)
}

#[test]
fn an_end_has_all_that_the_service_said() {
    let fragments = fragments();
    let (ends, behind) = read(&mut FrameReader::new(Range::default()), body(&fragments));
    assert_eq!(ends.len(), fragments.len());
    for (index, (end, fragment)) in ends.iter().zip(&fragments).enumerate() {
        assert_eq!(end.number.as_ref().unwrap().to_string(), fragment.number.to_string());
        let ms = |time: Option<gstkvs::fragment::UnixTime>| time.unwrap().nanoseconds() / 1_000_000;
        assert_eq!(ms(end.producer_timestamp), (START_MS + index as u64 * 1000) as i64);
        assert_eq!(ms(end.server_timestamp), (START_MS + index as u64 * 1000 + 1000) as i64);
        assert_eq!(end.size, fragment.bytes().len() as u64);
        assert_eq!(end.millis_behind_now, Some(fragment.millis_behind_now));
        assert_eq!(end.continuation_token.as_deref(), Some(fragment.number.to_string().as_str()));
        assert_eq!(end.tags, fragment.late_tags);
    }
    // Each begins with what the one before it said at its end.
    assert_eq!(behind, [None, Some(3000), Some(2000), Some(1000)]);
}

#[test]
fn sizes_are_those_of_whole_fragments_on_whichever_connection_they_end() {
    let fragments = fragments();
    let bytes = body(&fragments);
    let one = fragments[0].bytes().len();
    for cut in [10, one - 1, one, one + 10, one + one / 2, 2 * one - 1] {
        let mut reader = FrameReader::new(Range::default());
        let (mut ends, _) = read(&mut reader, bytes[..cut].to_vec());
        let whole = ends.len();
        reader.resume(false);
        // The service begins with the last whole fragment again.
        let (more, _) = read(&mut reader, body(&fragments[whole.saturating_sub(1)..]));
        ends.extend(more);
        let sizes: Vec<_> = ends.iter().map(|end| end.size).collect();
        let wanted: Vec<_> = fragments.iter().map(|fragment| fragment.bytes().len() as u64).collect();
        assert_eq!(sizes, wanted, "cut after {cut} bytes");
    }
}
