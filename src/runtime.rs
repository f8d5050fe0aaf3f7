//! The one tokio runtime that all elements of a process share.

use std::io;

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: OnceCell<Runtime> = OnceCell::new();

/// The shared runtime, started by the first who asks.
///
/// # Errors
///
/// The system gives no threads. The next call tries again.
pub fn runtime() -> io::Result<&'static Runtime> {
    RUNTIME.get_or_try_init(|| {
        // Bodies are read as they come and handed on: a few threads serve thousands of streams.
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        Builder::new_multi_thread().worker_threads(threads).thread_name("kvs").enable_all().build()
    })
}
