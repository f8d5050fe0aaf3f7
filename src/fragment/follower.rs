//! How far a body has come, for whoever only has to know where the next one goes on.

use bytes::Bytes;

use super::{Assembler, Error, Event, ResumePoint};
use crate::mkv;

/// Reads a body beside those who want its frames, which are not kept.
pub struct Follower {
    reader: mkv::Reader,
    assembler: Assembler,
    progressed: bool,
}

impl Follower {
    /// Follows a body that was asked to go on at `point`.
    pub fn new(point: ResumePoint) -> Self {
        let mut assembler = Assembler::new();
        assembler.begin_at(point);
        Self { reader: mkv::Reader::new(), assembler, progressed: false }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// Bytes that are not the service's, or an error tag of the service: nothing that follows can be read.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.reader.push(bytes);
        while let Some(element) = self.reader.next()? {
            let event = self.assembler.push(element, self.reader.offset())?;
            self.progressed |= matches!(event, Some(Event::Start(_) | Event::Block(..)));
        }
        Ok(())
    }

    /// Where to go on if the body ends here.
    pub fn resume_point(&self) -> ResumePoint {
        self.assembler.resume_point()
    }

    /// Whether the body has brought anything new.
    pub fn has_progressed(&self) -> bool {
        self.progressed
    }

    /// Whether a body that ends here ends between two elements.
    pub fn ends_whole(&self) -> bool {
        self.reader.finish().is_ok()
    }
}
