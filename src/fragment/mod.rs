//! What Kinesis Video means by the bytes: fragments, the time of their frames, and where to go on after a cut.

mod assembler;
mod backward;
mod copies;
mod deduplicator;
mod drift;
mod edges;
mod error;
mod frame_reader;
mod listing;
mod number;
mod range;
mod selection;
mod snap;
mod splitter;
mod tags;
mod tail;
mod timeline;
mod trick;
mod unix_time;

pub use assembler::{Assembler, Document, Event, Fragment, FragmentEnd, Header, Partial, ResumePoint};
pub use backward::{Backward, Cut};
pub use deduplicator::Dropped;
pub use drift::{Arrival, Drift};
pub use edges::{Edges, Opening};
pub use error::Error;
pub use frame_reader::{FrameReader, Output, TimedBlock, TimestampMode};
pub use listing::{Call, Listed, Listing, reaches, reaching};
pub use number::FragmentNumber;
pub use range::{Clock, Range};
pub use selection::Selection;
pub use snap::Snap;
pub use splitter::{Piece, Splitter, Stored};
pub use tail::Tail;
pub use timeline::{Placement, Timeline};
pub use trick::{Steps, Thinning, Trick};
pub use unix_time::{InvalidTime, UnixTime};
