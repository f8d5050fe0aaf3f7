//! Fragments whose header does not describe what downstream takes, while the next one's may.

use super::error::Error;
use super::notice::Notice;
use crate::fragment::Fragment;
use crate::output;

/// How many fragments in a row may be left out.
const MOST: u32 = 10;

/// What keeps a stream from being written, as long as it may pass.
#[derive(Debug, Default)]
pub struct Undescribed {
    /// How many were left out since the last one that was not.
    run: u32,
    /// Something has been written.
    any: bool,
    reason: Option<output::Error>,
}

impl Undescribed {
    /// Judges the choice of a writer for a fragment: the writer, or why the fragment is left out.
    ///
    /// # Errors
    ///
    /// No other header would mend it, or so many did not that none will.
    pub fn judge<T>(
        &mut self,
        fragment: &Fragment,
        choice: Result<T, output::Error>,
    ) -> Result<Result<T, Notice>, Error> {
        match choice {
            Ok(writer) => {
                *self = Self { run: 0, any: true, reason: None };
                Ok(Ok(writer))
            }
            Err(error) if error.may_pass() && self.run < MOST => {
                self.run = self.run.saturating_add(1);
                let notice = Notice::LeftOut { number: fragment.number.clone(), reason: error.to_string() };
                self.reason = Some(error);
                Ok(Err(notice))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the last fragment was left out.
    pub fn is_run(&self) -> bool {
        self.run > 0
    }

    /// The stream ends.
    ///
    /// # Errors
    ///
    /// Up to its end nothing was described.
    pub fn end(&mut self) -> Result<(), Error> {
        self.reason.take().filter(|_| !self.any).map_or(Ok(()), |reason| Err(reason.into()))
    }
}
