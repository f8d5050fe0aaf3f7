//! Matroska bytes (RFC 8794, RFC 9559): the push reader, headers, blocks, and the writer of the container. No I/O.

mod block;
mod children;
mod error;
mod header;
mod ids;
mod pieces;
mod queue;
mod reader;
mod rewrite;
mod tags;
mod track;
mod tracks;
mod vint;
pub mod writer;

pub use block::Block;
pub use error::Error;
pub use header::Info;
pub use ids::Id;
pub use pieces::Pieces;
pub use reader::{MAX_BLOCK, MAX_HEADER_ELEMENT, Reader};
pub use rewrite::{Rewrite, rewritten};
pub use tags::Tag;
pub use track::{Audio, Colour, Track, TrackKind, Video};
pub use tracks::Tracks;

/// What the [`Reader`] gives, in the body's order.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// An EBML header: a document begins, and what was open has ended.
    Document {
        doc_type: String,
        doc_type_version: u64,
        doc_type_read_version: u64,
    },
    /// A Segment begins.
    Segment,
    Info(Info),
    Tracks(Tracks),
    /// One Tags element, as far as it is about the whole Segment.
    Tags(Vec<Tag>),
    /// A Cluster's Timestamp, in ticks, before all its blocks.
    Cluster {
        timestamp: u64,
    },
    Block(Block),
    /// The Cluster that was open has ended; it need not have had a Timestamp or blocks.
    ClusterEnd,
}
