//! The programs of examples/, run as their users run them.

#[allow(dead_code, reason = "shared with the tests of kvssrc")]
#[path = "../kvssrc/body.rs"]
mod body;
mod call_audio;
mod download;
mod frames;
#[allow(dead_code, reason = "shared with the tests of kvssrc")]
#[path = "../kvssrc/judges.rs"]
mod judges;
#[path = "../common/reordered.rs"]
mod reordered;
mod sample;
#[allow(dead_code, reason = "shared with the tests of kvssrc")]
#[path = "../kvssrc/support.rs"]
mod support;
mod wall;
