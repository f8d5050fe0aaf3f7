//! A socket that tells how much was written to it, and when all of that is on its way.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// How long a flush is waited for: a client that reads nothing lets none happen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts the flushes of the socket within, and its bytes.
pub(crate) struct Flushing<S> {
    socket: S,
    flushes: watch::Sender<u64>,
    sent: Arc<AtomicU64>,
}

/// Waits for the flushes of a socket.
#[derive(Clone)]
pub(crate) struct Flushes(watch::Receiver<u64>);

impl<S> Flushing<S> {
    pub fn new(socket: S, sent: Arc<AtomicU64>) -> (Self, Flushes) {
        let (flushes, seen) = watch::channel(0);
        (Self { socket, flushes, sent }, Flushes(seen))
    }
}

impl<S> Flushing<S> {
    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Flushes {
    /// Waits until what has been handed to the connection so far has left it.
    pub async fn next(&mut self) {
        self.0.borrow_and_update();
        // An error is a connection that is gone: nothing more will leave it.
        let _ = tokio::time::timeout(PATIENCE, self.0.changed()).await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Flushing<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Flushing<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.count(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.count(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.socket).poll_flush(context));
        self.flushes.send_modify(|flushes| *flushes = flushes.wrapping_add(1));
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
