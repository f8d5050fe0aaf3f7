//! Credentials kept until they age, and fetched again before they expire without anybody waiting for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::time::timeout;

use super::CredentialError;
use super::error::away;

/// So long before they expire credentials are fetched again, or at half of their life where that is shorter.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// Credentials that name no expiration are fetched again so often, since what they come from may have changed.
const WITHOUT_EXPIRATION: Duration = Duration::from_secs(15 * 60);

/// No source takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause after a failure is a quarter of the time that the old credentials have left, within these bounds; the longer
/// one where they have none left, since then each call asks by itself.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The clock may be set, and a machine may sleep: so often at the least it is asked whether credentials have aged.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Keeps the credentials of a source.
///
/// The SDK's own cache drops credentials as soon as they come near their expiration, so that a source that fails then
/// fails the call although they are still good. This one goes on giving them, and fetches beside; only where there are
/// none that are valid does a call wait, and fail with what the source says.
#[derive(Clone)]
pub(super) struct Refreshing(Arc<Shared>);

struct Shared {
    source: SharedCredentialsProvider,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    held: Mutex<Option<Held>>,
    /// Held by the one fetch that is under way.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

struct Held {
    credentials: Credentials,
    fetch_again: SystemTime,
}

enum Look {
    Fresh(Credentials),
    /// Valid, and to be fetched again.
    Aging(Credentials),
    Absent,
}

impl Refreshing {
    pub fn new(source: impl ProvideCredentials + 'static) -> Self {
        Self::with_clock(source, SystemTime::now)
    }

    fn with_clock(
        source: impl ProvideCredentials + 'static,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            source: SharedCredentialsProvider::new(source),
            clock: Box::new(clock),
            held: Mutex::default(),
            fetching: Arc::default(),
        }))
    }

    /// When what is held expires.
    pub fn expiration(&self) -> Option<SystemTime> {
        self.0.held().as_ref()?.credentials.expiry()
    }

    /// Fetches others at once, because the service does not take what is held; that stays where none come.
    pub async fn replace(&self) -> provider::Result {
        let _fetching = self.0.fetching.lock().await;
        self.0.fetch().await
    }

    /// Fetches again what is held once it has aged, for whoever makes no calls meanwhile. With many at once, one fetches.
    pub async fn renewal(&self) -> provider::Result {
        loop {
            let until_aged = self.0.until_aged();
            if !until_aged.is_zero() {
                tokio::time::sleep(until_aged).await;
            }
            let _fetching = self.0.fetching.lock().await;
            // Another may have fetched, and have failed.
            if self.0.until_aged().is_zero() {
                let fetched = self.0.fetch().await?;
                return if self.0.has_expired(&fetched) { Err(expired()) } else { Ok(fetched) };
            }
        }
    }

    async fn credentials(&self) -> provider::Result {
        match self.0.look() {
            Look::Fresh(credentials) => return Ok(credentials),
            Look::Aging(credentials) => {
                self.fetch_beside();
                return Ok(credentials);
            }
            Look::Absent => {}
        }
        let _fetching = self.0.fetching.lock().await;
        match self.0.look() {
            // Fetched by another while this one waited for its turn.
            Look::Fresh(credentials) | Look::Aging(credentials) => Ok(credentials),
            Look::Absent => self.0.fetch().await,
        }
    }

    fn fetch_beside(&self) {
        let Ok(fetching) = Arc::clone(&self.0.fetching).try_lock_owned() else { return };
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _fetching = fetching;
            // A failure has been noted; the next one is told by `renewal`, and once there are no valid credentials left all.
            let _ = shared.fetch().await;
        });
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Look {
        let now = (self.clock)();
        match &*self.held() {
            Some(held) if self.has_expired(&held.credentials) => Look::Absent,
            Some(held) if held.fetch_again <= now => Look::Aging(held.credentials.clone()),
            Some(held) => Look::Fresh(held.credentials.clone()),
            None => Look::Absent,
        }
    }

    fn has_expired(&self, credentials: &Credentials) -> bool {
        credentials.expiry().is_some_and(|expiration| expiration <= (self.clock)())
    }

    /// How long it is until what is held has aged, as far as one can sleep.
    fn until_aged(&self) -> Duration {
        let now = (self.clock)();
        let left = |held: &Held| held.fetch_again.duration_since(now).unwrap_or_default();
        self.held().as_ref().map_or(LONGEST_SLEEP, left).min(LONGEST_SLEEP)
    }

    async fn fetch(&self) -> provider::Result {
        let fetched = timeout(PATIENCE, self.source.provide_credentials()).await;
        let mut fetched = fetched.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(PATIENCE)));
        if self.held().is_some() {
            fetched = fetched.map_err(away);
        }
        let now = (self.clock)();
        let left = |credentials: &Credentials| {
            credentials.expiry().map(|expiration| expiration.duration_since(now).unwrap_or_default())
        };
        let mut held = self.held();
        match &fetched {
            Ok(credentials) => {
                let after = match left(credentials) {
                    None => WITHOUT_EXPIRATION,
                    // A clock that is wrong, or a source that is late: it gives no others so soon.
                    Some(Duration::ZERO) => LONGEST_PAUSE,
                    Some(left) => (left - AHEAD.min(left / 2)).max(SHORTEST_PAUSE),
                };
                *held = Some(Held { credentials: credentials.clone(), fetch_again: now + after });
            }
            Err(_) => {
                if let Some(held) = &mut *held {
                    let left = left(&held.credentials).filter(|left| !left.is_zero());
                    let pause = left.map_or(LONGEST_PAUSE, |left| left / 4);
                    held.fetch_again = now + pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                }
            }
        }
        fetched
    }
}

fn expired() -> CredentialsError {
    let reason = "what it gives has expired; is this machine's clock right?".to_owned();
    CredentialError::Unavailable { by: "the source of credentials".to_owned(), reason }.into()
}

impl ProvideCredentials for Refreshing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for Refreshing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Refreshing(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::aws::Recovery;
    use crate::aws::credentials::explain;

    /// Gives what it was told to, and counts how often it was asked.
    #[derive(Clone, Debug, Default)]
    struct Script(Arc<ScriptState>);

    #[derive(Debug, Default)]
    struct ScriptState {
        answers: Mutex<VecDeque<Result<Credentials, &'static str>>>,
        /// Whether nothing is found where an answer is an error.
        nothing: AtomicBool,
        asked: AtomicU64,
        now: AtomicU64,
    }

    const BEGIN: u64 = 1_767_607_200;
    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN + seconds)
    }

    fn keys(name: &str, expiration: Option<u64>) -> Result<Credentials, &'static str> {
        Ok(Credentials::new(name, "hush", None, expiration.map(at), "test"))
    }

    impl Script {
        fn refreshing(&self, answers: impl IntoIterator<Item = Result<Credentials, &'static str>>) -> Refreshing {
            self.0.answers.lock().unwrap().extend(answers);
            let state = Arc::clone(&self.0);
            Refreshing::with_clock(self.clone(), move || at(state.now.load(Ordering::SeqCst)))
        }

        fn set_now(&self, seconds: u64) {
            self.0.now.store(seconds, Ordering::SeqCst);
        }

        fn asked(&self) -> u64 {
            self.0.asked.load(Ordering::SeqCst)
        }
    }

    impl ProvideCredentials for Script {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            let answer = self.0.answers.lock().unwrap().pop_front().unwrap_or(Err("asked too often"));
            let nothing = self.0.nothing.load(Ordering::SeqCst);
            future::ProvideCredentials::ready(answer.map_err(|reason| match nothing {
                true => CredentialsError::not_loaded(reason),
                false => CredentialsError::provider_error(reason),
            }))
        }
    }

    async fn name(refreshing: &Refreshing) -> String {
        refreshing.provide_credentials().await.unwrap().access_key_id().to_owned()
    }

    /// Waits until the fetch that is under way is over.
    async fn settle(refreshing: &Refreshing) {
        drop(refreshing.0.fetching.lock().await);
    }

    #[tokio::test]
    async fn fresh_credentials_are_kept() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", Some(HOUR))]);
        for now in [0, 1, HOUR - 301] {
            script.set_now(now);
            assert_eq!(name(&refreshing).await, "first");
        }
        assert_eq!(script.asked(), 1);
    }

    #[tokio::test]
    async fn aging_credentials_are_given_while_others_are_fetched() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", Some(HOUR)), keys("second", Some(2 * HOUR))]);
        assert_eq!(name(&refreshing).await, "first");
        script.set_now(HOUR - 300);
        assert_eq!(name(&refreshing).await, "first");
        settle(&refreshing).await;
        assert_eq!(name(&refreshing).await, "second");
        assert_eq!(script.asked(), 2);
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_while_the_old_ones_are_valid() {
        let script = Script::default();
        let answers = [keys("first", Some(HOUR)), Err("down"), Err("down"), keys("second", Some(2 * HOUR))];
        let refreshing = script.refreshing(answers);
        assert_eq!(name(&refreshing).await, "first");
        // Four minutes are left, then three: a pause is 30 s.
        for (now, asked) in [(HOUR - 240, 2), (HOUR - 211, 2), (HOUR - 210, 3), (HOUR - 181, 3), (HOUR - 180, 4)] {
            script.set_now(now);
            assert_eq!(name(&refreshing).await, "first");
            settle(&refreshing).await;
            assert_eq!(script.asked(), asked, "{now}");
        }
        assert_eq!(name(&refreshing).await, "second");
    }

    #[tokio::test]
    async fn a_failure_is_told_once_nothing_is_valid() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", Some(HOUR)), Err("down"), keys("second", Some(3 * HOUR))]);
        assert_eq!(name(&refreshing).await, "first");
        script.set_now(HOUR);
        let error = refreshing.provide_credentials().await.unwrap_err();
        assert!(crate::aws::error::chain(&error).contains("down"), "{error:?}");
        assert_eq!(name(&refreshing).await, "second");
    }

    /// As instance metadata that does not answer for a moment.
    #[tokio::test]
    async fn a_source_that_has_given_and_is_not_found_is_away() {
        let script = Script::default();
        script.0.nothing.store(true, Ordering::SeqCst);
        let refreshing = script.refreshing([Err("not there"), keys("first", Some(HOUR)), Err("gone")]);
        let recovery = |error: CredentialsError| explain(&error).unwrap().recovery();
        assert_eq!(recovery(refreshing.provide_credentials().await.unwrap_err()), Recovery::None);
        assert_eq!(name(&refreshing).await, "first");
        script.set_now(HOUR);
        let error = refreshing.provide_credentials().await.unwrap_err();
        assert!(crate::aws::error::chain(&error).contains("gone"), "{error:?}");
        assert_eq!(recovery(error), Recovery::Retry);
    }

    #[tokio::test]
    async fn who_waits_beside_expired_credentials_asks_twice_a_minute_for_all() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", Some(HOUR)), Err("down"), Err("down"), Err("down")]);
        assert_eq!(name(&refreshing).await, "first");
        for (now, asked) in [(HOUR, 2), (HOUR + 30, 3)] {
            script.set_now(now);
            assert!(refreshing.0.until_aged().is_zero());
            // Two connections: the turn of the second one comes when the first has failed.
            let turn = refreshing.0.fetching.lock().await;
            let mut waiting = [Box::pin(refreshing.renewal()), Box::pin(refreshing.renewal())];
            let [first, second] = &mut waiting;
            tokio::select! {
                biased;
                _ = &mut *first => panic!("without its turn"),
                _ = &mut *second => panic!("without its turn"),
                () = tokio::task::yield_now() => {}
            }
            drop(turn);
            let (failed, other) = tokio::select! {
                failed = &mut *first => (failed, second),
                failed = &mut *second => (failed, first),
            };
            assert!(failed.is_err());
            tokio::select! {
                biased;
                _ = other => panic!("asked at once after a failure"),
                () = tokio::task::yield_now() => {}
            }
            assert_eq!(script.asked(), asked);
            assert_eq!(refreshing.0.until_aged(), LONGEST_PAUSE);
        }
    }

    #[tokio::test]
    async fn short_lives_are_renewed_at_their_half() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", Some(100)), keys("second", Some(HOUR))]);
        script.set_now(0);
        assert_eq!(name(&refreshing).await, "first");
        script.set_now(49);
        assert_eq!(name(&refreshing).await, "first");
        settle(&refreshing).await;
        assert_eq!(script.asked(), 1);
        script.set_now(50);
        assert_eq!(name(&refreshing).await, "first");
        settle(&refreshing).await;
        assert_eq!(name(&refreshing).await, "second");
    }

    #[tokio::test]
    async fn credentials_without_expiration_are_asked_for_again() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", None), Err("down"), keys("second", None)]);
        for (now, expected) in [(0, "first"), (899, "first"), (900, "first"), (930, "first"), (931, "second")] {
            script.set_now(now);
            assert_eq!(name(&refreshing).await, expected, "{now}");
            settle(&refreshing).await;
        }
        assert_eq!(script.asked(), 3);
    }

    #[tokio::test]
    async fn what_is_replaced_is_fetched() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", None), Err("down"), keys("second", None)]);
        assert_eq!(name(&refreshing).await, "first");
        assert!(refreshing.replace().await.is_err());
        assert_eq!(name(&refreshing).await, "first");
        assert!(refreshing.replace().await.is_ok());
        assert_eq!(name(&refreshing).await, "second");
    }

    #[tokio::test]
    async fn a_source_that_gives_what_has_expired_is_not_asked_again_at_once() {
        let script = Script::default();
        let refreshing =
            script.refreshing([keys("first", Some(100)), keys("late", Some(50)), keys("good", Some(HOUR))]);
        assert_eq!(name(&refreshing).await, "first");
        script.set_now(60);
        let error = refreshing.renewal().await.unwrap_err();
        assert!(crate::aws::error::chain(&error).contains("clock"), "{error:?}");
        assert_eq!(refreshing.0.until_aged(), LONGEST_PAUSE);
        script.set_now(90);
        refreshing.renewal().await.unwrap();
        assert_eq!(name(&refreshing).await, "good");
    }

    #[tokio::test]
    async fn many_at_once_make_one_fetch() {
        let script = Script::default();
        let refreshing = script.refreshing([keys("first", Some(HOUR))]);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let refreshing = refreshing.clone();
                tokio::spawn(async move { name(&refreshing).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), "first");
        }
        assert_eq!(script.asked(), 1);
    }
}
