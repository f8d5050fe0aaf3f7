//! The handle that a test or a program holds: fills an emulator, looks into it, stops it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::builder::{Builder, Ca};
use crate::error::Error;
use crate::fault::{Fault, Interruption, Repeat};
use crate::fragment::{Fragment, FragmentInfo, NewFragment};
use crate::import;
use crate::keys::{KeyRing, Keys};
use crate::live::Recording;
use crate::long::LongStream;
use crate::number::FragmentNumber;
use crate::record::{Operation, RequestRecord};
use crate::server::Context;
use crate::store::{StreamSettings, StreamStatus};
use crate::stream::{MissingStart, Stream};

/// A local Kinesis Video Streams. Dropping it stops it and closes its connections.
pub struct Emulator {
    context: Arc<Context>,
    ca: Option<Ca>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Emulator {
    /// An emulator on a free port of 127.0.0.1, without TLS, in us-west-2, with the demonstration's keys.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn running(
        context: Arc<Context>,
        ca: Option<Ca>,
        runtime: Handle,
        stop: oneshot::Sender<()>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self { context, ca, runtime, stop: Some(stop), thread: Some(thread) }
    }

    /// The URL of the control plane and of every data endpoint but PutMedia's.
    pub fn url(&self) -> String {
        self.context.endpoints.url("")
    }

    /// The URL of PutMedia's data endpoint: the same, unless HTTP/2 is offered there, which producers cannot use.
    pub fn put_media_url(&self) -> String {
        self.context.endpoints.put_media_url("")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.context.endpoints.address
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.context.region
    }

    /// The access key id that requests must be signed with.
    pub fn access_key(&self) -> &str {
        &self.context.keys.own().access_key
    }

    /// The secret that requests must be signed with.
    pub fn secret_key(&self) -> &str {
        &self.context.keys.own().secret_key
    }

    /// The session token that requests must carry.
    pub fn session_token(&self) -> Option<&str> {
        self.context.keys.own().session_token.as_deref()
    }

    /// Makes temporary keys that it takes beside its own, for so long.
    pub fn issue(&self, lifetime: Duration) -> Keys {
        let keys = Keys::fresh(lifetime);
        self.context.keys.add(keys.clone());
        keys
    }

    /// Takes temporary keys no longer.
    pub fn revoke(&self, keys: &Keys) {
        self.context.keys.remove(&keys.access_key);
    }

    pub(crate) fn key_ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.context.keys)
    }

    /// The certificate that clients must trust, in PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_ref().map(|ca| ca.pem.as_str())
    }

    /// A file with that certificate, there as long as the emulator; `None` without TLS.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca.as_ref().map(Ca::path)
    }

    /// Makes an empty stream; answers its ARN.
    pub fn create_stream(&self, name: &str) -> Result<String, Error> {
        self.create_stream_with(name, StreamSettings::default())
    }

    /// The same with what DescribeStream is to say of it.
    pub fn create_stream_with(&self, name: &str, settings: StreamSettings) -> Result<String, Error> {
        Ok(self.context.store.create(&self.context.region, name, settings)?.arn.clone())
    }

    /// Deletes a stream at once; who reads it reaches its end.
    pub fn delete_stream(&self, name: &str) -> Result<(), Error> {
        if self.context.store.remove(name) { Ok(()) } else { Err(Error::NoStream(name.to_owned())) }
    }

    /// What a stream is doing from now on.
    pub fn set_status(&self, name: &str, status: StreamStatus) -> Result<(), Error> {
        self.stream_named(name)?.set_status(status);
        Ok(())
    }

    /// A stream's ARN.
    pub fn arn(&self, name: &str) -> Result<String, Error> {
        Ok(self.stream_named(name)?.arn.clone())
    }

    /// Stores a file's media in a stream, which is made where it is missing. A file that GetMedia returned keeps its
    /// fragments; any other is cut at keyframes, and its producer timestamps end now.
    pub fn import_file(&self, name: &str, path: impl AsRef<Path>) -> Result<Vec<FragmentInfo>, Error> {
        let path: PathBuf = path.as_ref().to_owned();
        let bytes = std::fs::read(&path).map_err(Error::io(format!("reading {}", path.display())))?;
        self.import_bytes(name, bytes)
    }

    /// The same from memory.
    pub fn import_bytes(&self, name: &str, bytes: impl Into<Bytes>) -> Result<Vec<FragmentInfo>, Error> {
        self.import(name, &bytes.into(), None)
    }

    /// The same with the producer timestamp of a file's beginning, in milliseconds since 1970.
    pub fn import_bytes_at(&self, name: &str, bytes: impl Into<Bytes>, start: u64) -> Result<Vec<FragmentInfo>, Error> {
        self.import(name, &bytes.into(), Some(start))
    }

    fn import(&self, name: &str, bytes: &Bytes, start: Option<u64>) -> Result<Vec<FragmentInfo>, Error> {
        let fragments = import::fragments(bytes, start)?;
        let stream = self.context.store.get_or_create(&self.context.region, name)?;
        Ok(fragments.into_iter().map(|new| put(&stream, new).info()).collect())
    }

    /// Stores one whole fragment in a stream, which is made where it is missing.
    pub fn put_fragment(&self, name: &str, fragment: NewFragment) -> Result<FragmentInfo, Error> {
        let stream = self.context.store.get_or_create(&self.context.region, name)?;
        Ok(put(&stream, fragment).info())
    }

    /// Begins a fragment whose media comes piece by piece, as a producer's does.
    pub fn open_fragment(&self, name: &str, fragment: NewFragment) -> Result<OpenFragment, Error> {
        let stream = self.context.store.get_or_create(&self.context.region, name)?;
        Ok(OpenFragment::begin(stream, fragment))
    }

    /// Lets a stream, which is made where it is missing, begin with a long one; what is put later follows.
    pub fn put_long_stream(&self, name: &str, long: LongStream) -> Result<(), Error> {
        self.context.store.get_or_create(&self.context.region, name)?.set_long(long)
    }

    /// From now on GetMedia answers exactly this body, whatever the selector; the stream is made where it is missing.
    pub fn serve_verbatim(&self, name: &str, body: impl Into<Bytes>) -> Result<(), Error> {
        let stream = self.context.store.get_or_create(&self.context.region, name)?;
        stream.set_verbatim(Some(body.into()));
        Ok(())
    }

    /// Replays for ever in real time what the stream holds now, which leaves the store: what is read from now on has
    /// fresh numbers and timestamps, and cluster times that go on growing.
    pub fn start_live(&self, name: &str) -> Result<(), Error> {
        let stream = self.stream_named(name)?;
        let recording = Recording::new(&stream.take())?;
        self.runtime.spawn(recording.replay(stream));
        Ok(())
    }

    /// Lets the producer of a stream that [`start_live`](Self::start_live) replays lose its connection, in the middle of the
    /// fragment at hand or, where that has just ended, of the next one.
    pub fn interrupt_producer(&self, name: &str, interruption: Interruption) -> Result<(), Error> {
        self.stream_named(name)?.interrupt(interruption);
        Ok(())
    }

    /// Breaks off every body of GetMedia that is being sent of this stream: the connection is reset without an end.
    pub fn cut_readers(&self, name: &str) -> Result<(), Error> {
        self.stream_named(name)?.cut_readers();
        Ok(())
    }

    /// Whether GetMedia's body of this stream ends where nothing more is stored, whatever the emulator's own choice.
    pub fn set_end_at_head(&self, name: &str, end: bool) -> Result<(), Error> {
        self.stream_named(name)?.set_end_at_head(end);
        Ok(())
    }

    /// How long fragments of a stream are kept, from their server timestamp on; `None`, as it is else, keeps them all.
    /// A connection that reads one goes on behind it with the earliest there is.
    pub fn set_retention(&self, name: &str, retention: Option<Duration>) -> Result<(), Error> {
        self.stream_named(name)?.set_retention(retention);
        Ok(())
    }

    /// Deletes the fragments with these numbers at once; tells how many were there.
    pub fn delete_fragments(&self, name: &str, numbers: &[FragmentNumber]) -> Result<usize, Error> {
        Ok(self.stream_named(name)?.delete(|_, number| numbers.contains(number)))
    }

    /// Deletes at once every fragment up to and with a number; tells how many there were.
    pub fn delete_fragments_up_to(&self, name: &str, last: &FragmentNumber) -> Result<usize, Error> {
        Ok(self.stream_named(name)?.delete(|_, number| number <= last))
    }

    /// Deletes the oldest so many fragments at once; tells how many there were.
    pub fn delete_oldest_fragments(&self, name: &str, count: usize) -> Result<usize, Error> {
        Ok(self.stream_named(name)?.delete(|index, _| index < count))
    }

    /// How long a fragment is whole before ListFragments lists it and GetMediaForFragmentList finds it; at once else.
    pub fn set_archive_delay(&self, name: &str, delay: Duration) -> Result<(), Error> {
        self.stream_named(name)?.set_archive_delay(delay);
        Ok(())
    }

    /// Lets ListFragments leave out these fragments from now on, and no others: it shows what was put sooner or later, and
    /// in no order.
    pub fn set_unlisted(&self, name: &str, numbers: &[FragmentNumber]) -> Result<(), Error> {
        self.stream_named(name)?.set_unlisted(numbers);
        Ok(())
    }

    /// What GetMedia of this stream answers to a start behind a fragment that is not there, whatever the emulator's own
    /// choice.
    pub fn set_missing_start(&self, name: &str, missing: MissingStart) -> Result<(), Error> {
        self.stream_named(name)?.set_missing_start(missing);
        Ok(())
    }

    /// Adds a fault behind those that wait for this stream ([`crate::ANY_STREAM`] for all).
    pub fn set_fault(&self, name: &str, fault: Fault, repeat: Repeat) {
        self.context.faults.set(name, fault, repeat);
    }

    /// The same for any operation, whichever the fault would strike by itself: a fault of a body strikes the answer of
    /// ListFragments or GetMediaForFragmentList so.
    pub fn set_fault_on(&self, name: &str, operation: Operation, fault: Fault, repeat: Repeat) {
        self.context.faults.set_on(name, operation, fault, repeat);
    }

    /// Forgets the faults that wait for this stream.
    pub fn clear_faults(&self, name: &str) {
        self.context.faults.clear(name);
    }

    /// Every request so far, refused ones too, in order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.context.records.all()
    }

    /// Waits for the first request that fits, also one that came before; `None` when none comes in time.
    pub fn wait_for_request(&self, fits: impl Fn(&RequestRecord) -> bool, timeout: Duration) -> Option<RequestRecord> {
        self.context.records.wait(fits, timeout)
    }

    /// How many bytes have been handed to sockets so far, of heads and bodies, before TLS.
    pub fn bytes_sent(&self) -> u64 {
        self.context.sent.load(Ordering::Relaxed)
    }

    /// A stream's fragments, in order of their numbers.
    pub fn fragments(&self, name: &str) -> Result<Vec<FragmentInfo>, Error> {
        Ok(self.stream_named(name)?.infos())
    }

    fn stream_named(&self, name: &str) -> Result<Arc<Stream>, Error> {
        self.context.store.get(name).ok_or_else(|| Error::NoStream(name.to_owned()))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the emulator's thread has been printed already.
            let _ = thread.join();
        }
    }
}

fn put(stream: &Arc<Stream>, new: NewFragment) -> Arc<Fragment> {
    let duration = new.duration.unwrap_or_else(|| import::duration(&new.header, &new.media));
    let fragment = stream.begin(new);
    stream.finish(&fragment, duration);
    fragment
}

/// A fragment that is being put. Dropped before [`OpenFragment::finish`], it is thrown away, and its readers are cut off.
pub struct OpenFragment {
    stream: Arc<Stream>,
    fragment: Arc<Fragment>,
    duration: Option<u64>,
    finished: bool,
}

impl OpenFragment {
    pub(crate) fn begin(stream: Arc<Stream>, new: NewFragment) -> Self {
        let duration = new.duration;
        let fragment = stream.begin(new);
        Self { stream, fragment, duration, finished: false }
    }

    /// Adds bytes to its media; who reads the stream gets them at once.
    pub fn write(&mut self, bytes: impl Into<Bytes>) {
        self.stream.append(&self.fragment, bytes.into());
    }

    /// What is known of it.
    pub fn info(&self) -> FragmentInfo {
        self.fragment.info()
    }

    /// Ends it.
    pub fn finish(mut self) -> FragmentInfo {
        let measure = || import::duration(&self.fragment.header, &self.fragment.media());
        let duration = self.duration.unwrap_or_else(measure);
        self.stream.finish(&self.fragment, duration);
        self.finished = true;
        self.fragment.info()
    }
}

impl Drop for OpenFragment {
    fn drop(&mut self) {
        if !self.finished {
            self.stream.abandon(&self.fragment);
        }
    }
}
