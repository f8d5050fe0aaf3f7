//! A local Amazon Kinesis Video Streams: signatures, streams, PutMedia, GetMedia and the
//! archive, and any misbehaviour on demand.
//!
//! ```no_run
//! let emulator = kvs_emulator::Emulator::builder().end_at_head(true).start()?;
//! emulator.import_file("demo", "demo.mkv")?;
//! println!("{}", emulator.url());
//! # Ok::<(), kvs_emulator::Error>(())
//! ```

mod archive;
mod body;
mod builder;
mod control;
mod credentials;
mod cut;
mod document;
mod emulator;
mod endpoints;
mod error;
mod fault;
mod flush;
mod fragment;
mod get_media;
mod get_media_for_fragment_list;
mod history;
pub mod identity;
mod import;
mod ingest;
mod keys;
mod limits;
mod list_fragments;
mod live;
mod long;
pub mod matroska;
pub mod media;
mod metadata;
mod number;
mod put_media;
mod record;
mod server;
mod signature;
mod store;
mod stream;
mod stream_tags;
mod sync;
mod tls;

pub use archive::ArchiveTags;
pub use builder::Builder;
pub use credentials::{DEMO_ACCESS_KEY, DEMO_SECRET_KEY};
pub use emulator::{Emulator, OpenFragment};
pub use error::Error;
pub use fault::{ANY_STREAM, Fault, Interruption, Repeat};
pub use fragment::{FragmentInfo, NewFragment};
/// HTTP/1.1 or HTTP/2, as a [`RequestRecord`] has it.
pub use hyper::Version as HttpVersion;
pub use keys::Keys;
pub use limits::Limits;
pub use long::LongStream;
pub use number::{FragmentNumber, NotANumber};
pub use record::{Operation, RequestRecord};
/// JSON, as a [`RequestRecord`] has it.
pub use serde_json::Value;
pub use store::{StreamSettings, StreamStatus};
pub use stream::MissingStart;
