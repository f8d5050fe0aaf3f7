//! Going back in a stream that is followed, and coming back to what it is now.

pub mod scene;

use gst::prelude::*;
use kvs_emulator::{Fault, Operation, Repeat};

use super::archive::seconds;
use super::body::START_MS;
use super::support::{PATIENCE, STREAM, wait_until};
use scene::{FLUSH, FRAME_MS, Scene, ms, scene_calls};

#[test]
fn one_can_go_back_and_watch_up_to_the_present_and_return_to_it() {
    for path in ["", " ! kvsdemux"] {
        let mut scene = Scene::playing(0, "", path);
        scene.put(4);
        scene.wait_for(23);
        let shown = scene.take();
        let origin = Scene::origin(&shown[0]);
        wait_until("the edge is known", || scene.seekable() >= shown.last().map(|shown| shown.stream_time));
        assert!(scene.calls(Operation::ListFragments).is_empty());

        // Back into a fragment.
        let there = shown[9];
        scene.seek(FLUSH, there.stream_time);
        scene.wait_for(23);
        // What comes now follows what is stored.
        scene.put(2);
        scene.wait_for(31);
        let again = scene.take();
        assert_eq!((again[0].index, again[0].stream_time), (there.index, there.stream_time), "{path}");
        assert_eq!(again.last().unwrap().index, 31, "{path}");
        assert_eq!(again[0].running_time, gst::ClockTime::ZERO);
        assert_eq!(Scene::origin(&again[0]), origin);
        assert!(!scene.calls(Operation::ListFragments).is_empty());
        let last = scene.calls(Operation::GetMedia).pop().unwrap();
        assert_eq!(last.body["StartSelector"]["StartSelectorType"], "FRAGMENT_NUMBER");

        scene.seek_to_end();
        wait_until("GetMedia is called again", || scene_calls(&scene.emulator) == 3);
        scene.put(2);
        scene.wait_for(39);
        let now = scene.take();
        // As for whoever begins to watch now, the newest fragment that is there may come first.
        assert!(now[0].index >= 28, "{path}: {now:?}");
        assert_eq!(Scene::origin(&now[0]), origin);
        let last = scene.calls(Operation::GetMedia).pop().unwrap();
        assert_eq!(last.body["StartSelector"]["StartSelectorType"], "NOW");
        assert_eq!(scene.calls(Operation::GetDataEndpoint).len(), 3);
    }
}

#[test]
fn one_can_go_back_behind_the_first_frame_that_was_shown() {
    let scene = Scene::playing(30, "dvr-window=20000", "");
    let shown = scene.take();
    // Stream time counts from the beginning of the window.
    assert_eq!(shown[0].stream_time, shown[0].running_time + ms(20_000));
    scene.seek(FLUSH, shown[0].stream_time - ms(15_000));
    scene.wait_for(shown.last().unwrap().index);
    let again = scene.take();
    assert_eq!(again[0].index, shown[0].index - 30);
    assert_eq!(Scene::origin(&again[0]), Scene::origin(&shown[0]));
}

#[test]
fn what_is_not_kept_any_more_is_not_waited_for() {
    let scene = Scene::playing(30, "dvr-window=3600000", "");
    let shown = scene.take();
    scene.emulator.delete_oldest_fragments(STREAM, 10).unwrap();
    scene.seek(FLUSH, ms(1000));
    scene.wait_for(shown.last().unwrap().index);
    let again = scene.take();
    assert_eq!((again[0].index, again[0].running_time), (40, gst::ClockTime::ZERO));
    assert_eq!(Scene::origin(&again[0]), Scene::origin(&shown[0]));
}

#[test]
fn a_part_of_the_past_ends_and_one_can_return_from_there() {
    let mut scene = Scene::playing(0, "", "");
    scene.put(4);
    scene.wait_for(23);
    let shown = scene.take();
    let set = gst::SeekType::Set;
    scene.pipeline.seek(1.0, FLUSH, set, shown[4].stream_time, set, shown[12].stream_time).expect("a seek");
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = scene.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
    assert_eq!(message.type_(), gst::MessageType::Eos);
    let again: Vec<u64> = scene.take().iter().map(|shown| shown.index).collect();
    assert_eq!(again, (shown[4].index..shown[12].index).collect::<Vec<_>>());
    scene.seek_to_end();
    wait_until("GetMedia is called again", || scene_calls(&scene.emulator) == 2);
    scene.put(1);
    scene.wait_for(27);
}

#[test]
fn an_end_that_was_set_holds_after_going_back() {
    let by_service = format!("start-selector=server-timestamp start-timestamp={}", seconds(START_MS));
    // The end is meant on the clock of the start, and stream time may follow the other one.
    for start in ["start-selector=earliest", "start-selector=earliest timestamp-mode=server", &by_service] {
        for (end, last, to) in [(15_000, 29, 4), (7000, 13, 4), (7000, 13, 12)] {
            let properties = format!("{start} end-timestamp={}", seconds(START_MS + end));
            let scene = Scene::new(12, &properties, "");
            scene.pipeline.play();
            scene.ends();
            let first = scene.take()[0];
            wait_until("it can be sought in", || scene.seekable() >= Some(ms(6000)));
            scene.seek(FLUSH, first.stream_time + ms(to * 500));
            scene.ends();
            let again = scene.take();
            assert_eq!((again[0].index, again.last().unwrap().index), (to, last), "{properties}");
            assert_eq!(again[0].stream_time, first.stream_time + ms(to * 500), "{properties}");
        }
    }
}

#[test]
fn what_was_uploaded_behind_an_end_is_left_out_and_what_came_in_time_is_not() {
    let from = format!("start-selector=server-timestamp start-timestamp={}", seconds(START_MS));
    let properties = format!("{from} end-timestamp={}", seconds(START_MS + 15_000));
    let scene = Scene::new(0, &properties, "");
    (0..3).chain(5..8).for_each(|fragment| scene.put_one(fragment, 300));
    (3..5).for_each(|fragment| scene.put_one(fragment, 20_000));
    scene.pipeline.play();
    scene.ends();
    let indices =
        || std::mem::take(&mut *scene.shown.lock().unwrap()).iter().map(|shown| shown.index).collect::<Vec<_>>();
    let wanted: Vec<u64> = (0..12).chain(20..30).collect();
    let live = indices();
    scene.seek(FLUSH, ms(0));
    scene.ends();
    assert_eq!((live, indices()), (wanted.clone(), wanted));
}

#[test]
fn from_the_end_of_a_range_that_is_over_is_from_its_last_moment() {
    let (end, none) = (gst::SeekType::End, gst::SeekType::None);
    {
        let over = format!("start-selector=earliest end-timestamp={}", seconds(START_MS + 15_000));
        let scene = Scene::new(10, &over, "");
        scene.pipeline.play();
        scene.ends();
        assert_eq!(scene.take().last().unwrap().index, 29);
        let from_end = |offset: i64| {
            // The bindings have no type for it.
            let offset = gst::ClockTime::from_nseconds((offset * 1_000_000).cast_unsigned());
            scene.pipeline.seek(1.0, FLUSH, end, offset, none, gst::ClockTime::NONE).expect("a seek");
            scene.ends();
            scene.take()
        };
        let shown = from_end(-4000);
        assert_eq!((shown[0].index, shown[0].stream_time, shown.len()), (22, ms(11_000), 8));
        let shown = from_end(-500);
        assert_eq!((shown[0].index, shown.len()), (29, 1));
        assert!(from_end(0).is_empty());
        assert_eq!(scene_calls(&scene.emulator), 1);
    }
}

#[test]
fn the_duration_is_that_of_stream_time() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = u64::try_from(now.as_millis()).unwrap() - 60_000;
    let end = start + 180_000;
    let properties = format!("dvr-window=60000 end-timestamp={}", seconds(end));
    let known = format!("start-selector=producer-timestamp start-timestamp={}", seconds(start));
    let scene = Scene::since(start, 0, &format!("{properties} {known}"), "");
    let _ = scene.pipeline.set_state(gst::State::Paused);
    assert_eq!(scene.pipeline.query_duration::<gst::ClockTime>(), Some(ms(240_000)));
    drop(scene);
    for more in ["", " is-live=true"] {
        let mut scene = Scene::since(start, 30, &format!("{properties}{more}"), "").begun();
        let shown = scene.take();
        let wanted = u64::try_from(Scene::origin(&shown[0]) + 180_000_000_000).unwrap();
        let wanted = Some(gst::ClockTime::from_nseconds(wanted));
        assert_eq!(scene.pipeline.query_duration::<gst::ClockTime>(), wanted, "{more}");
        // The same after a return to the newest, which begins at presentation time 0 again.
        scene.seek_to_end();
        wait_until("GetMedia is called again", || scene_calls(&scene.emulator) == 2);
        scene.put(1);
        scene.wait_for(scene.fragments * 4 - 1);
        scene.take();
        assert_eq!(scene.pipeline.query_duration::<gst::ClockTime>(), wanted, "{more}");
    }
}

#[test]
fn what_is_listed_late_is_not_lost() {
    for hidden in [5, 6] {
        let mut scene = Scene::playing(0, "", "");
        scene.put(6);
        scene.wait_for(31);
        let shown = scene.take();
        let numbers = scene.emulator.fragments(STREAM).unwrap();
        scene.emulator.set_unlisted(STREAM, &[numbers[hidden].number.clone()]).unwrap();
        scene.seek(FLUSH, shown[1].stream_time);
        scene.put(1);
        scene.wait_for(35);
        let again = scene.take();
        assert_eq!((again[0].index, again.len()), (shown[1].index, 36 - shown[1].index as usize), "{hidden}");
    }
}

#[test]
fn what_is_played_fast_slows_down_where_it_has_caught_up() {
    for flags in [FLUSH, FLUSH | gst::SeekFlags::TRICKMODE_NO_AUDIO] {
        // Twice as fast where nothing is left out.
        let rate = if flags == FLUSH { 2.0 } else { 1.0 };
        let mut scene = Scene::playing(0, "", "");
        scene.put(4);
        scene.wait_for(23);
        let shown = scene.take();
        let (set, none) = (gst::SeekType::Set, gst::SeekType::None);
        scene.pipeline.seek(rate, flags, set, shown[4].stream_time, none, gst::ClockTime::NONE).expect("a seek");
        scene.wait_for(23);
        wait_until("GetMedia goes on", || scene_calls(&scene.emulator) == 2);
        scene.put(2);
        scene.wait_for(31);
        let again = std::mem::take(&mut *scene.shown.lock().unwrap());
        let last = shown.last().unwrap().index;
        for (left, right) in again.iter().zip(&again[1..]) {
            assert_eq!(right.index, left.index + 1, "{again:?}");
            assert_eq!(right.stream_time, left.stream_time + ms(FRAME_MS), "{again:?}");
            // The change from one speed to the other lies between two frames.
            let distance = right.running_time - left.running_time;
            let distance = ms((distance.nseconds() + 500_000) / 1_000_000);
            let fast = ms((FRAME_MS as f64 / rate) as u64);
            let wanted = if right.index <= last { [fast; 2] } else { [fast, ms(FRAME_MS)] };
            assert!(wanted.contains(&distance), "{distance}: {again:?}");
        }
        let (left, right) = (again[again.len() - 2], again[again.len() - 1]);
        assert_eq!(right.running_time, left.running_time + ms(FRAME_MS), "{again:?}");
    }
}

#[test]
fn to_where_the_stream_is_said_to_end_is_to_the_newest() {
    let mut scene = Scene::playing(0, "", "");
    scene.put(4);
    scene.wait_for(23);
    let end = scene.seekable().expect("seekable");
    scene.seek(FLUSH, end);
    wait_until("GetMedia is called again", || scene_calls(&scene.emulator) == 2);
    let last = scene.calls(Operation::GetMedia).pop().unwrap();
    assert_eq!(last.body["StartSelector"]["StartSelectorType"], "NOW");
    assert!(scene.calls(Operation::ListFragments).is_empty());
}

#[test]
fn a_camera_whose_clock_was_set_back_repeats_nothing() {
    let mut scene = Scene::playing(0, "dvr-window=60000", "");
    scene.put(8);
    scene.wait_for(39);
    scene.behind = 9000;
    scene.put(4);
    scene.wait_for(55);
    let shown = std::mem::take(&mut *scene.shown.lock().unwrap());
    scene.seek(FLUSH, shown[0].stream_time);
    wait_until("GetMedia is called again", || scene_calls(&scene.emulator) == 2);
    scene.put(2);
    scene.wait_for(63);
    let again: Vec<u64> = scene.shown.lock().unwrap().iter().map(|shown| shown.index).collect();
    let unique: std::collections::BTreeSet<u64> = again.iter().copied().collect();
    assert_eq!(again.len(), unique.len(), "{again:?}");
    assert!(again.ends_with(&(56..64).collect::<Vec<_>>()), "{again:?}");
}

#[test]
fn fragments_that_are_too_young_for_the_archive_are_not_missing() {
    let mut scene = Scene::playing(0, "", "");
    scene.put(4);
    scene.wait_for(23);
    let shown = scene.take();
    let last = scene.emulator.fragments(STREAM).unwrap()[5].number.clone();
    scene.emulator.set_fault(STREAM, Fault::LostFragments(vec![last]), Repeat::Always);
    scene.seek(FLUSH, shown[4].stream_time);
    wait_until("GetMedia is called again", || scene_calls(&scene.emulator) == 2);
    scene.put(1);
    scene.wait_for(27);
    assert_eq!(scene.take()[0].index, shown[4].index);
    let bus = scene.pipeline.bus().unwrap();
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());
}

#[test]
fn before_anything_is_known_everything_is_played() {
    let mut scene = Scene::new(0, "", "");
    let _ = scene.pipeline.set_state(gst::State::Ready);
    let _ = scene.pipeline.by_name("source").unwrap().seek_simple(FLUSH, ms(30_000));
    scene.pipeline.play();
    let asked = |request: &kvs_emulator::RequestRecord| request.operation == Operation::GetMedia;
    scene.emulator.wait_for_request(asked, PATIENCE.into()).expect("a call of GetMedia");
    scene.put(2);
    scene.wait_for(7);
    // What only GetMedia tells is forgotten in the archive.
    let lag = || scene.pipeline.by_name("source").unwrap().property::<i64>("millis-behind-now");
    wait_until("the lag is known", || lag() >= 0);
    let shown = scene.take();
    scene.emulator.set_fault(STREAM, Fault::HangRequest { operation: Operation::ListFragments }, Repeat::Always);
    scene.seek(FLUSH, shown[0].stream_time);
    assert_eq!(lag(), -1);
}

#[test]
fn what_a_seek_leaves_as_it_was_is_remembered() {
    let mut scene = Scene::playing(0, "", "");
    scene.put(6);
    scene.wait_for(31);
    let shown = scene.take();
    let (set, none) = (gst::SeekType::Set, gst::SeekType::None);
    let at = |index: usize| shown[index].stream_time;
    let ends = |last: u64| {
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = scene.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("no end");
        assert_eq!(message.type_(), gst::MessageType::Eos);
        assert_eq!(scene.shown.lock().unwrap().last().map(|shown| shown.index), Some(last));
        scene.take();
    };
    scene.pipeline.seek(1.0, FLUSH, set, at(4), set, at(8)).expect("a seek");
    ends(shown[7].index);
    // The stop stays.
    scene.pipeline.seek(1.0, FLUSH, set, at(5), none, gst::ClockTime::NONE).expect("a seek");
    ends(shown[7].index);
    // Behind it, it means nothing.
    scene.seek(FLUSH, at(12));
    scene.wait_for(31);
    assert_eq!(scene.take()[0].index, shown[12].index);
}

#[test]
fn without_a_flush_running_time_goes_on() {
    for (properties, live) in [("", true), ("is-live=false", false)] {
        let mut scene = Scene::playing(0, properties, "");
        scene.put(4);
        scene.wait_for(23);
        let shown = scene.take();
        let to_past = shown[9];
        scene.seek(gst::SeekFlags::ACCURATE, to_past.stream_time);
        scene.wait_for(23);
        let again = scene.take();
        assert_eq!((again[0].index, again[0].stream_time), (to_past.index, to_past.stream_time), "{properties}");
        let (before, after) = (shown.last().unwrap().running_time, again[0].running_time);
        assert!((before..=before + ms(FRAME_MS)).contains(&after), "{properties}: {before} {after}");
        let (end, none) = (gst::SeekType::End, gst::SeekType::None);
        let accurate = gst::SeekFlags::ACCURATE;
        scene.pipeline.seek(1.0, accurate, end, gst::ClockTime::ZERO, none, gst::ClockTime::NONE).expect("a seek");
        let begins_now =
            |request: &kvs_emulator::RequestRecord| request.body["StartSelector"]["StartSelectorType"] == "NOW";
        wait_until("the newest is asked for", || {
            scene.calls(Operation::GetMedia).iter().filter(|request| begins_now(request)).count() == 2
        });
        scene.put(2);
        scene.wait_for(31);
        let now = scene.take();
        assert_eq!(Scene::origin(&now[0]), Scene::origin(&shown[0]), "{properties}");
        // What is live is presented when it comes, which in this test is sooner than its camera made it.
        if !live {
            let (before, after) = (again.last().unwrap().running_time, now[0].running_time);
            assert!((before..=before + ms(FRAME_MS)).contains(&after), "{properties}: {before} {after}");
        }
    }
}

#[test]
fn one_can_watch_backwards_from_the_present() {
    let mut scene = Scene::playing(0, "", "");
    scene.put(4);
    scene.wait_for(23);
    let shown = scene.take();
    let end = shown.last().map(|shown| shown.stream_time + ms(FRAME_MS));
    wait_until("the edge is known", || scene.seekable() >= end);
    let (set, from_end) = (gst::SeekType::Set, gst::SeekType::End);
    scene.pipeline.seek(-1.0, FLUSH, set, shown[4].stream_time, from_end, gst::ClockTime::ZERO).expect("a seek");
    let types = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = scene.pipeline.bus().unwrap().timed_pop_filtered(PATIENCE, &types).expect("the pipeline hangs");
    assert_eq!(message.type_(), gst::MessageType::Eos);
    let again: Vec<u64> = scene.shown.lock().unwrap().drain(..).map(|shown| shown.index).collect();
    // Fragments, the last one first.
    let first = shown[4].index;
    let wanted: Vec<u64> = (first / 4..6).rev().flat_map(|fragment| fragment * 4..fragment * 4 + 4).collect();
    let wanted: Vec<u64> = wanted.into_iter().filter(|index| *index >= first).collect();
    assert_eq!(again, wanted);
}

#[test]
fn a_reading_that_is_not_live_can_go_back_too() {
    let mut scene = Scene::new(10, "start-selector=earliest", "");
    scene.pipeline.play();
    scene.wait_for(39);
    let shown = scene.take();
    assert_eq!((shown[0].index, shown[0].stream_time), (0, gst::ClockTime::ZERO));
    scene.seek(FLUSH, ms(8500));
    scene.put(1);
    scene.wait_for(43);
    let again = scene.take();
    assert_eq!((again[0].index, again[0].stream_time, again.len()), (17, ms(8500), 27));
}

#[test]
fn what_is_stored_can_be_sought_in_from_its_first_frame_on() {
    for end in ["", " end-timestamp=2026-01-06T00:00:00Z"] {
        let scene = Scene::new(10, &format!("start-selector=earliest{end}"), "");
        // Paused, nothing goes on behind the first frame: no whole fragment tells how far the stream reaches.
        let _ = scene.pipeline.set_state(gst::State::Paused);
        scene.pipeline.state(PATIENCE).0.expect("the first frame");
        scene.seek(FLUSH, ms(8000));
        scene.pipeline.play();
        scene.wait_for(39);
        let shown = scene.take();
        assert_eq!((shown[0].index, shown[0].stream_time), (16, ms(8000)), "{end}");
    }
}

#[test]
fn by_the_clock_of_the_service_too() {
    let mut scene = Scene::playing(0, "timestamp-mode=server", "");
    scene.put(4);
    scene.wait_for(23);
    let shown = scene.take();
    scene.seek(FLUSH, shown[9].stream_time);
    scene.put(1);
    scene.wait_for(27);
    let again = scene.take();
    assert_eq!((again[0].index, again[0].stream_time), (shown[9].index, shown[9].stream_time));
}

#[test]
fn where_time_tells_no_moment_one_cannot_seek() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = format!("checkpoint-location={}", folder.path().join("checkpoint").display());
    for properties in ["timestamp-mode=contiguous", &checkpoint] {
        let scene = Scene::playing(0, properties, "");
        assert_eq!(scene.seekable(), None, "{properties}");
        assert!(scene.pipeline.seek_simple(FLUSH, ms(500)).is_err(), "{properties}");
    }
}
