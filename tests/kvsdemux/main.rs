//! kvsdemux: behind kvssrc, behind files, and alone with every event and buffer in the test's hand.

mod backward;
mod bench;
#[allow(dead_code, reason = "shared with the tests of kvssrc")]
#[path = "../kvssrc/body.rs"]
mod body;
mod bytes_in;
mod changes;
mod decoding;
mod edges;
mod equal;
mod events;
mod files;
mod flow;
#[allow(dead_code, reason = "shared with the tests of kvssrc")]
#[path = "../kvssrc/judges.rs"]
mod judges;
#[path = "../common/pictures.rs"]
mod pictures;
mod players;
mod properties;
#[path = "../common/reordered.rs"]
mod reordered;
mod saved;
mod select;
mod skew;
mod sound;
#[allow(dead_code, reason = "shared with the tests of kvssrc")]
#[path = "../kvssrc/support.rs"]
mod support;
mod time_in;
mod timecode;
