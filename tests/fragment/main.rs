//! The fragment room alone: bytes in, frames out, over any number of connections.

#[path = "../kvssrc/body.rs"]
mod body;
mod duplicates;
mod early;
mod ends;
mod live;
mod received;
mod resume;
mod tags;
