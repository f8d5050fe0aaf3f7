//! Fragments that the archive lists, and does not find at first.

use kvs_emulator::{Emulator, Fault, Operation, Repeat, RequestRecord};

use super::archive::{AUDIO, all_frames, frames, range, serve};
use super::support::{STREAM, run};

const GET: Operation = Operation::GetMediaForFragmentList;

/// The numbers that each call named.
fn calls(emulator: &Emulator) -> Vec<Vec<String>> {
    let named = |record: RequestRecord| {
        let numbers = record.body["Fragments"].as_array().unwrap().iter();
        numbers.map(|number| number.as_str().unwrap().to_owned()).collect()
    };
    emulator.requests().into_iter().filter(|record| record.operation == GET).map(named).collect()
}

#[test]
fn a_fragment_that_is_not_found_at_first_is_asked_for_again() {
    for end_at_missing in [false, true] {
        for connections in [1, 3] {
            for (fault, repeat) in [
                // In the first call and in later ones, once and at the first of all places again and again.
                (Fault::MissingFragment(1), Repeat::Once),
                (Fault::MissingFragment(3), Repeat::Nth(2)),
                (Fault::MissingFragment(0), Repeat::Times(4)),
                (Fault::MissingFragment(2), Repeat::Times(3)),
            ] {
                let emulator = serve(Emulator::builder().end_at_missing(end_at_missing), 60);
                emulator.set_fault_on(STREAM, GET, fault.clone(), repeat);
                let source = format!("{} connections={connections} on-missing=fail", range(&emulator, 20_000, 80_000));
                let outcome = run(&source, AUDIO).ok();
                let what = format!("{fault:?} {repeat:?}, {connections} connections, ends: {end_at_missing}");
                assert_eq!(frames(&outcome), all_frames(10..40), "{what}");
                assert!(outcome.warnings.is_empty(), "{what}: {:?}", outcome.warnings);
            }
        }
    }
}

#[test]
fn only_after_the_retry_timeout_is_it_missing_and_nothing_else_waits_for_it() {
    for end_at_missing in [false, true] {
        let emulator = serve(Emulator::builder().end_at_missing(end_at_missing), 60);
        let stored = emulator.fragments(STREAM).unwrap();
        let lost = stored[13].number.clone();
        emulator.set_fault(STREAM, Fault::LostFragments(vec![lost.clone()]), Repeat::Always);
        let source = format!("{} connections=1 retry-timeout=3000", range(&emulator, 20_000, 80_000));
        let outcome = run(&source, AUDIO).ok();
        assert_eq!(frames(&outcome), all_frames((10..40).filter(|index| *index != 13)));
        let [(warning, debug)] = &outcome.warnings[..] else { panic!("{:?}", outcome.warnings) };
        assert!(warning.to_string().contains(lost.as_str()) && debug.contains("3000"), "{warning} {debug}");
        let calls = calls(&emulator);
        let asked = |number: &str| calls.iter().filter(|call| call.iter().any(|named| named == number)).count();
        // Again and again, with growing delays; and what came is not asked for again.
        assert!((5..30).contains(&asked(lost.as_str())), "{}", asked(lost.as_str()));
        for fragment in &stored[21..40] {
            assert!(asked(fragment.number.as_str()) <= 2, "{calls:?}");
        }
    }
}

#[test]
fn what_is_lost_together_is_waited_for_together() {
    for end_at_missing in [false, true] {
        let emulator = serve(Emulator::builder().end_at_missing(end_at_missing), 60);
        let lost = emulator.fragments(STREAM).unwrap()[12..24].iter().map(|fragment| fragment.number.clone()).collect();
        emulator.set_fault(STREAM, Fault::LostFragments(lost), Repeat::Always);
        let source = format!("{} connections=1 retry-timeout=2000", range(&emulator, 20_000, 80_000));
        let outcome = run(&source, AUDIO).ok();
        assert_eq!(frames(&outcome), all_frames((10..12).chain(24..40)));
        assert_eq!(outcome.warnings.len(), 12);
        // One after the other, each asked for until the time is over, they would take many more.
        let calls = calls(&emulator).len();
        assert!(calls < 50, "{calls} calls, ends: {end_at_missing}");
    }
}
