//! One GetMedia connection: from the data endpoint to the last byte of the body.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesisvideo::types::ApiName;
use aws_sdk_kinesisvideomedia as media;
use bytes::Bytes;
use media::primitives::ByteStream;
use media::types::StartSelectorType;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::credentials::Used;
use super::http::READ_AHEAD;
use super::service::Service;
use super::{Error, Request, Stage, StartSelector};
use crate::fragment::UnixTime;

/// How long a body that waits to be read is silent at the least once all of it has been: longer than the transport takes
/// to hand over what it holds, and shorter than what a clock is judged by.
const SILENCE: Duration = Duration::from_millis(5);

/// Room for bytes is given back in parts of which so many make the whole, or once nothing waits to be taken.
const ROOM_PARTS: usize = 4;

/// Tells the time, in ns, on the clock of whoever wants to know when bytes came.
pub type ArrivalClock = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Hears of a body as it comes, on the task that reads it: its consumer may not have taken anything of it yet.
pub trait Listener: Send + Sync + 'static {
    /// The service has agreed: the body begins.
    fn opened(&mut self);

    /// The next bytes; `false` where what follows them can be of no use.
    fn received(&mut self, bytes: &Bytes) -> bool;

    /// The call is over: its body has ended well or is of no more use, or it failed with an error.
    fn over(&mut self, error: Option<&Error>);
}

/// The calls of one reader of a stream, one after the other. Bytes that nobody has taken yet share the room of all of them.
#[derive(Clone)]
pub struct Consumer {
    runtime: Handle,
    request: Request,
    service: Arc<Service>,
    clock: Option<ArrivalClock>,
    /// A permit for each byte that may be read ahead, `limit` of them.
    room: Arc<Semaphore>,
    limit: usize,
}

impl Consumer {
    /// Asks nothing of the service yet. Where there is a `clock`, bytes are told with the time at which they came.
    pub fn new(runtime: &Handle, request: Request, clock: Option<ArrivalClock>) -> Self {
        let service = Service::of(&request);
        // What the transport holds counts too.
        let held = usize::try_from(READ_AHEAD).unwrap_or(usize::MAX);
        let limit = request.max_buffered_bytes.saturating_sub(held).clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(limit));
        Self { runtime: runtime.clone(), request, service, clock, room, limit }
    }

    /// Begins a GetMedia call at a time; what comes of it is told by [`Connection::next`], and to the listener as soon as it
    /// comes.
    pub fn open(&self, start: StartSelector, at: Instant, listener: Option<Box<dyn Listener>>) -> Connection {
        let request = Request { start, ..self.request.clone() };
        let (mut reading, connected) = channel(Arc::clone(&self.room), self.limit, self.clock.clone());
        reading.listener = listener;
        let service = Arc::clone(&self.service);
        let task = self.runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            let ended = reading.run(&request, &service).await;
            // Before anybody sees that it is over.
            if let Some(mut listener) = reading.listener.take() {
                listener.over(ended.as_ref().err());
            }
            if let Err(error) = ended {
                // Nobody listens any more where the connection was dropped.
                let _ = reading.sender.send(Err(error));
            }
        });
        connected(task.abort_handle())
    }
}

/// Both sides of a connection, whose task comes last.
fn channel(
    room: Arc<Semaphore>,
    limit: usize,
    clock: Option<ArrivalClock>,
) -> (Reading, impl FnOnce(AbortHandle) -> Connection) {
    let (sender, received) = mpsc::unbounded_channel();
    let (unrenewed, told) = watch::channel(None);
    let reading = Reading { sender, unrenewed, room: Arc::clone(&room), limit, clock, listener: None };
    (reading, move |task| Connection { received, unrenewed: told, room, limit, taken: 0, task })
}

/// A GetMedia call, from its resolving to its last byte, made on a task of its own. Dropped, it is over at once,
/// whatever it was waiting for.
#[derive(Debug)]
pub struct Connection {
    received: mpsc::UnboundedReceiver<Result<Received, Error>>,
    unrenewed: watch::Receiver<Option<Unrenewed>>,
    room: Arc<Semaphore>,
    limit: usize,
    /// How many bytes have been taken that there is not yet room for again.
    taken: usize,
    task: AbortHandle,
}

/// What comes of a call.
#[derive(Debug)]
pub enum Received {
    /// This begins, and what came before it has gone well.
    Began(Stage),
    /// The service has agreed: the body begins.
    Opened,
    /// Credentials could not be renewed while the body goes on; of several such failures the latest.
    Unrenewed(Unrenewed),
    /// The next bytes of the body, and when they came, where that was asked for.
    Bytes(Bytes, Option<Arrival>),
}

/// Why credentials could not be renewed.
#[derive(Clone, Debug)]
pub struct Unrenewed {
    pub error: Error,
    /// When those that are held expire.
    pub expiration: Option<UnixTime>,
}

/// When a piece of the body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// On the consumer's clock, in ns.
    pub time: u64,
    /// It may have come before, since nobody read it.
    pub waited: bool,
}

impl Connection {
    /// The next that comes; `None` at the clean end of the body. Nothing is lost where the future is dropped.
    ///
    /// # Errors
    ///
    /// Whatever ended the call before its end; nothing follows it.
    pub async fn next(&mut self) -> Option<Result<Received, Error>> {
        if self.unrenewed.has_changed().unwrap_or(false) {
            return self.unrenewed();
        }
        let next = match self.received.try_recv() {
            Ok(next) => Some(next),
            Err(_) => {
                self.make_room();
                tokio::select! {
                    next = self.received.recv() => next,
                    Ok(()) = self.unrenewed.changed() => return self.unrenewed(),
                }
            }
        };
        if let Some(Ok(Received::Bytes(bytes, _))) = &next {
            self.taken = self.taken.saturating_add(bytes.len().min(self.limit));
            // Not for each piece: whoever waits for room is on another thread, which it costs much to wake.
            if self.taken >= self.limit / ROOM_PARTS {
                self.make_room();
            }
        }
        next
    }

    fn unrenewed(&mut self) -> Option<Result<Received, Error>> {
        self.unrenewed.borrow_and_update().clone().map(|unrenewed| Ok(Received::Unrenewed(unrenewed)))
    }

    fn make_room(&mut self) {
        self.room.add_permits(std::mem::take(&mut self.taken));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
        // Whoever comes next has the room of what nobody takes any more.
        self.received.close();
        while let Ok(received) = self.received.try_recv() {
            if let Ok(Received::Bytes(bytes, _)) = received {
                self.taken = self.taken.saturating_add(bytes.len().min(self.limit));
            }
        }
        self.make_room();
    }
}

/// The task's side of a connection.
struct Reading {
    sender: mpsc::UnboundedSender<Result<Received, Error>>,
    /// Only the latest is kept for a consumer who takes nothing, as one that is paused.
    unrenewed: watch::Sender<Option<Unrenewed>>,
    /// A permit for each byte that may be read ahead, `limit` of them.
    room: Arc<Semaphore>,
    limit: usize,
    clock: Option<ArrivalClock>,
    listener: Option<Box<dyn Listener>>,
}

impl Reading {
    async fn run(&mut self, request: &Request, service: &Service) -> Result<(), Error> {
        let sender = self.sender.clone();
        let tell = move |stage| {
            // Nobody listens any more where the connection was dropped.
            let _ = sender.send(Ok(Received::Began(stage)));
        };
        let used = Used::default();
        let mut body = match open(request, service, &used, &tell).await {
            Err(error) if error.is_outdated_credentials() => match service.credentials().renew(&used).await {
                Ok(true) => open(request, service, &used, &tell).await?,
                Ok(false) => return Err(error),
                Err(unrenewed) => return Err(unrenewed),
            },
            opened => opened?,
        };
        if let Some(listener) = &mut self.listener {
            listener.opened();
        }
        if self.sender.send(Ok(Received::Opened)).is_err() {
            return Ok(());
        }
        let unrenewed = self.unrenewed.clone();
        let tell = move |error, expiration: Option<SystemTime>| {
            let expiration = expiration.and_then(UnixTime::from_system_time);
            unrenewed.send_replace(Some(Unrenewed { error, expiration }));
        };
        tokio::select! {
            read = self.read(&mut body, request.read_timeout) => read,
            never = service.credentials().keep_fresh(tell) => match never {},
        }
    }

    /// All of the body that is of use.
    async fn read(&mut self, body: &mut ByteStream, limit: Duration) -> Result<(), Error> {
        let mut waited = false;
        loop {
            let asked = Instant::now();
            let piece = async { Ok(body.next().await) };
            let Some(piece) = within(limit, "GetMedia", piece).await? else { return Ok(()) };
            let piece = piece.map_err(|error| Error::Body { reason: super::error::chain(&error) })?;
            waited &= asked.elapsed() < SILENCE;
            let time = self.clock.as_ref().and_then(|clock| clock());
            let arrival = time.map(|time| Arrival { time, waited });
            let goes_on = self.listener.as_mut().is_none_or(|listener| listener.received(&piece));
            let length = piece.len();
            waited |= self.make_room(length).await;
            if self.sender.send(Ok(Received::Bytes(piece, arrival))).is_err() {
                self.room.add_permits(length.min(self.limit));
                return Ok(());
            }
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Waits until the consumer has taken enough of what was read before; one piece always fits. Whether it waited.
    async fn make_room(&self, bytes: usize) -> bool {
        let permits = u32::try_from(bytes.min(self.limit)).unwrap_or(u32::MAX);
        if let Ok(permits) = self.room.try_acquire_many(permits) {
            permits.forget();
            return false;
        }
        if let Ok(permits) = self.room.acquire_many(permits).await {
            permits.forget();
        }
        true
    }
}

/// Begins the body; a data endpoint that fails is asked for again by the next call.
async fn open(
    request: &Request,
    service: &Service,
    used: &Used,
    tell: &(dyn Fn(Stage) + Sync),
) -> Result<ByteStream, Error> {
    let limit = request.read_timeout;
    let endpoint = service.endpoint(request, ApiName::GetMedia, used, tell);
    let (config, endpoint) = within(limit, "GetDataEndpoint", endpoint).await?;
    tell(Stage::Connection);
    let config = media::config::Builder::from(&config).endpoint_url(&*endpoint).build();
    let call = media::Client::from_conf(config)
        .get_media()
        .set_stream_name(request.stream.name().map(str::to_owned))
        .set_stream_arn(request.stream.arn().map(str::to_owned))
        .start_selector(start_selector(&request.start)?)
        .send();
    let answer = async { call.await.map_err(|error| Error::from_sdk("GetMedia", error)) };
    match within(limit, "GetMedia", answer).await {
        Ok(answer) => Ok(answer.payload),
        Err(error) => {
            service.forget_endpoint(&endpoint).await;
            Err(error)
        }
    }
}

/// Waits no longer than a silent service is waited for.
pub(super) async fn within<T>(
    limit: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(Error::Silent { operation, seconds: limit.as_secs_f64() }),
    }
}

fn start_selector(start: &StartSelector) -> Result<media::types::StartSelector, Error> {
    let date_time = |time: UnixTime| {
        let (seconds, nanoseconds) = time.seconds_and_nanoseconds();
        aws_smithy_types::DateTime::from_secs_and_nanos(seconds, nanoseconds)
    };
    let builder = media::types::StartSelector::builder();
    match start {
        StartSelector::Now => builder.start_selector_type(StartSelectorType::Now),
        StartSelector::Earliest => builder.start_selector_type(StartSelectorType::Earliest),
        StartSelector::ProducerTimestamp(time) => {
            builder.start_selector_type(StartSelectorType::ProducerTimestamp).start_timestamp(date_time(*time))
        }
        StartSelector::ServerTimestamp(time) => {
            builder.start_selector_type(StartSelectorType::ServerTimestamp).start_timestamp(date_time(*time))
        }
        StartSelector::AfterFragment(number) => {
            builder.start_selector_type(StartSelectorType::FragmentNumber).after_fragment_number(number.as_str())
        }
        StartSelector::ContinuationToken(token) => {
            builder.start_selector_type(StartSelectorType::ContinuationToken).continuation_token(token)
        }
    }
    .build()
    .map_err(|error| Error::Request { operation: "GetMedia", reason: super::error::chain(&error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_what_could_not_be_renewed_the_latest_is_told_beside_all_bytes() {
        let (reading, connected) = channel(Arc::new(Semaphore::new(1)), 1, None);
        let mut connection = connected(tokio::spawn(std::future::pending::<()>()).abort_handle());
        let fail = |number: u64| {
            let error = Error::NoCredentials { reason: number.to_string() };
            reading.unrenewed.send_replace(Some(Unrenewed { error, expiration: None }));
        };
        let send = |bytes| reading.sender.send(Ok(Received::Bytes(Bytes::from_static(bytes), None))).unwrap();
        send(b"a");
        (0..1000).for_each(fail);
        send(b"b");
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(match connection.next().await.unwrap().unwrap() {
                Received::Bytes(bytes, _) => String::from_utf8(bytes.to_vec()).unwrap(),
                Received::Unrenewed(Unrenewed { error: Error::NoCredentials { reason }, .. }) => reason,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(told, ["999", "a", "b"]);
        // Nothing is left; who waits hears of the next one.
        let waiting = tokio::spawn(async move { connection.next().await });
        tokio::task::yield_now().await;
        fail(1000);
        assert!(matches!(waiting.await.unwrap(), Some(Ok(Received::Unrenewed(_)))));
    }

    #[tokio::test]
    async fn what_nobody_takes_leaves_its_room_to_the_next_connection() {
        let room = Arc::new(Semaphore::new(10));
        let (reading, connected) = channel(Arc::clone(&room), 10, None);
        let mut connection = connected(tokio::spawn(std::future::pending::<()>()).abort_handle());
        for bytes in [&b"abc"[..], b"defg"] {
            reading.make_room(bytes.len()).await;
            reading.sender.send(Ok(Received::Bytes(Bytes::from_static(bytes), None))).unwrap();
        }
        assert_eq!(room.available_permits(), 3);
        assert!(matches!(connection.next().await, Some(Ok(Received::Bytes(bytes, _))) if &bytes[..] == b"abc"));
        drop(connection);
        assert_eq!(room.available_permits(), 10);
    }
}
