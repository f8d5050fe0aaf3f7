//! The file that says how far a stream has been read, so that a new process can go on there.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::fragment::FragmentNumber;

/// The first line of every checkpoint.
const FORMAT: &str = "kvssrc checkpoint 1";

/// A checkpoint of one stream: after each fragment that downstream has accepted, the file names that fragment.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    stream: String,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint {} cannot be read: {reason}", path.display())]
    Read { path: PathBuf, reason: io::Error },
    #[error("the checkpoint {} cannot be written: {reason}", path.display())]
    Write { path: PathBuf, reason: io::Error },
    #[error("{} is no checkpoint of kvssrc; give another checkpoint-location, or remove the file to begin anew", .0.display())]
    Corrupt(PathBuf),
    #[error("the checkpoint {} is of stream {found}, not of {wanted}", path.display())]
    Foreign { path: PathBuf, found: String, wanted: String },
}

impl Checkpoint {
    /// The checkpoint at this path of the stream with this name or ARN.
    pub fn new(path: &str, stream: &str) -> Self {
        Self { path: path.into(), stream: stream.to_owned() }
    }

    /// The last fragment that was accepted; `None` where nothing has been written yet.
    ///
    /// # Errors
    ///
    /// The file is there and is no checkpoint of this stream.
    pub fn read(&self) -> Result<Option<FragmentNumber>, CheckpointError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(CheckpointError::Corrupt(self.path.clone()));
            }
            Err(reason) => return Err(CheckpointError::Read { path: self.path.clone(), reason }),
        };
        let corrupt = || CheckpointError::Corrupt(self.path.clone());
        let lines: Vec<&str> = text.split('\n').collect();
        let [FORMAT, stream, fragment, ""] = lines.as_slice() else { return Err(corrupt()) };
        let stream = stream.strip_prefix("stream=").ok_or_else(corrupt)?;
        let fragment = fragment.strip_prefix("fragment=").and_then(FragmentNumber::new).ok_or_else(corrupt)?;
        if stream != self.stream {
            return Err(CheckpointError::Foreign {
                path: self.path.clone(),
                found: stream.to_owned(),
                wanted: self.stream.clone(),
            });
        }
        Ok(Some(fragment))
    }

    /// Writes that downstream has accepted the fragment. The file is whole at any moment, also where the machine
    /// stops in between: it is written beside and renamed.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn write(&self, fragment: &FragmentNumber) -> Result<(), CheckpointError> {
        self.try_write(fragment).map_err(|reason| CheckpointError::Write { path: self.path.clone(), reason })
    }

    fn try_write(&self, fragment: &FragmentNumber) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut file = NamedTempFile::new_in(folder)?;
        write!(file, "{FORMAT}\nstream={}\nfragment={fragment}\n", self.stream)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        // The rename is on the disk once its folder is.
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let checkpoint = Checkpoint::new(path.to_str().unwrap(), "demo");
        assert!(checkpoint.read().unwrap().is_none());
        for number in ["1", "91343852333181432392682062607615861139700000001"] {
            let number = FragmentNumber::new(number).unwrap();
            checkpoint.write(&number).unwrap();
            assert_eq!(checkpoint.read().unwrap(), Some(number));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let foreign = Checkpoint::new(path.to_str().unwrap(), "other").read();
        assert!(matches!(foreign, Err(CheckpointError::Foreign { .. })));
    }

    #[test]
    fn anything_else_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let checkpoint = Checkpoint::new(path.to_str().unwrap(), "demo");
        for text in [
            &b""[..],
            b"\xFF\xFE",
            b"kvssrc checkpoint 1\nstream=demo\nfragment=1",
            b"kvssrc checkpoint 1\nstream=demo\nfragment=x\n",
            b"kvssrc checkpoint 2\nstream=demo\nfragment=1\n",
            b"kvssrc checkpoint 1\nstream=demo\n",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(checkpoint.read(), Err(CheckpointError::Corrupt(_))), "{text:?}");
        }
        let nowhere = Checkpoint::new(folder.path().join("no/where").to_str().unwrap(), "demo");
        let number = FragmentNumber::new("1").unwrap();
        assert!(matches!(nowhere.write(&number), Err(CheckpointError::Write { .. })));
    }
}
