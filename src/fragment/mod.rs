//! What Kinesis Video means by the bytes: fragments, the time of their frames, and where to go on after a cut.

mod assembler;
mod drift;
mod edges;
mod error;
mod frame_reader;
mod listing;
mod number;
mod range;
mod splitter;
mod tags;
mod timeline;
mod unix_time;

pub use assembler::{Assembler, Document, Event, Fragment, FragmentEnd, Header, Partial, ResumePoint};
pub use drift::{Arrival, Drift};
pub use edges::{Edges, Opening, Snap};
pub use error::Error;
pub use frame_reader::{FrameReader, Output, TimedBlock, TimestampMode};
pub use listing::{Call, Listed, Listing, reaching};
pub use number::FragmentNumber;
pub use range::{Clock, Range};
pub use splitter::{Piece, Splitter, Stored};
pub use timeline::{Placement, Timeline};
pub use unix_time::{InvalidTime, UnixTime};
