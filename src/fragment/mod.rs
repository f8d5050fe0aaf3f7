//! What Kinesis Video means by the bytes: fragments, the time of their frames, and where to go on after a cut.

mod assembler;
mod drift;
mod error;
mod frame_reader;
mod number;
mod range;
mod tags;
mod timeline;
mod unix_time;

pub use assembler::{Assembler, Document, Event, Fragment, FragmentEnd, Header, Partial, ResumePoint};
pub use drift::{Arrival, Drift};
pub use error::Error;
pub use frame_reader::{FrameReader, Output, TimedBlock, TimestampMode};
pub use number::FragmentNumber;
pub use range::{Clock, Range};
pub use timeline::{Placement, Timeline};
pub use unix_time::{InvalidTime, UnixTime};
