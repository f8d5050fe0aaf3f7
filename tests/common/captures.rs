//! Finds the captures of real GetMedia bodies, which are no part of the project.

use std::path::PathBuf;

use bytes::Bytes;

/// The capture of this name: in `KVS_CAPTURES`, else in `../shared/captures` beside the project. Where it is missing,
/// this says so and returns `None`.
pub fn capture(name: &str) -> Option<Bytes> {
    let folder = match std::env::var_os("KVS_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/captures"),
    };
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            eprintln!("SKIPPED: the capture {} cannot be read: {error}; set KVS_CAPTURES", path.display());
            None
        }
    }
}
