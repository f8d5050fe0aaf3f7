//! kvssink's credential file: `CREDENTIALS key secret`, or `CREDENTIALS key expiration secret token`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::CredentialError;

/// More than any keys need.
const LARGEST_FILE: u64 = 64 * 1024;

/// Reads the file each time it is asked, which is once a call of the service: a file that was replaced is used at once.
/// While the file cannot be read, as in the middle of being written, what it held last is used until it expires, and waited
/// for from then on.
pub(super) struct FileProvider {
    path: PathBuf,
    last: Mutex<Option<Credentials>>,
}

impl FileProvider {
    pub fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::default() }
    }

    async fn credentials(&self) -> provider::Result {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path, SystemTime::now()));
        let read = read.await.map_err(CredentialsError::unhandled)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(credentials) => {
                *last = Some(credentials.clone());
                Ok(credentials)
            }
            Err(error) => {
                let Some(held) = &*last else { return Err(error.into()) };
                if held.expiry().is_none_or(|expiration| expiration > SystemTime::now()) {
                    return Ok(held.clone());
                }
                // It has been good: whoever writes it is late, or at it.
                Err(match error {
                    CredentialError::File { path, reason } => {
                        CredentialError::Unavailable { by: format!("the credential file {path}"), reason }
                    }
                    error => error,
                }
                .into())
            }
        }
    }
}

impl ProvideCredentials for FileProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

impl fmt::Debug for FileProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileProvider").field("path", &self.path).finish_non_exhaustive()
    }
}

fn read(path: &Path, now: SystemTime) -> Result<Credentials, CredentialError> {
    let unusable = |reason: String| CredentialError::File { path: path.display().to_string(), reason };
    let text = text(path).map_err(|error| unusable(error.to_string()))?;
    let credentials = parse(&text).map_err(|reason| unusable(reason.to_string()))?;
    match credentials.expiry() {
        Some(expiration) if expiration <= now => {
            let at = Timestamp::try_from(expiration).map(|at| at.to_string()).unwrap_or_default();
            Err(CredentialError::Expired { path: path.display().to_string(), at })
        }
        _ => Ok(credentials),
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("it is too large"));
    }
    Ok(text)
}

/// What is wrong with a file's text; tells none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Malformed {
    #[error("it does not begin with CREDENTIALS")]
    Marker,
    #[error(
        "CREDENTIALS is not followed by ACCESS_KEY SECRET_KEY or by ACCESS_KEY EXPIRATION SECRET_KEY SESSION_TOKEN"
    )]
    Fields,
    #[error("its expiration is no RFC 3339 time such as 2026-01-05T10:00:00Z")]
    Expiration,
}

/// Words apart by any white space, as kvssink takes them; its four-word form without a token included.
fn parse(text: &str) -> Result<Credentials, Malformed> {
    let mut words = text.split_ascii_whitespace();
    if words.next() != Some("CREDENTIALS") {
        return Err(Malformed::Marker);
    }
    let words: Vec<&str> = words.take(5).collect();
    let (access_key, expiration, secret_key, token) = match words.as_slice() {
        // A time in the place of the secret is temporary keys that are still being written.
        [access_key, secret_key] if parse_time(secret_key).is_err() => (access_key, None, secret_key, None),
        [access_key, expiration, secret_key] => (access_key, Some(*expiration), secret_key, None),
        [access_key, expiration, secret_key, token] => (access_key, Some(*expiration), secret_key, Some(*token)),
        _ => return Err(Malformed::Fields),
    };
    let expiration = expiration.map(parse_time).transpose()?;
    Ok(Credentials::new(*access_key, *secret_key, token.map(str::to_owned), expiration, "credential-path"))
}

/// A time without zone is UTC, as kvssink takes it.
fn parse_time(text: &str) -> Result<SystemTime, Malformed> {
    let utc = || text.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|time| time.timestamp());
    text.parse::<Timestamp>().or_else(|_| utc()).map(SystemTime::from).map_err(|_| Malformed::Expiration)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_words_are_keys_that_do_not_expire() {
        let credentials = parse("CREDENTIALS AKIA hush\n").unwrap();
        assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("AKIA", "hush"));
        assert_eq!((credentials.session_token(), credentials.expiry()), (None, None));
    }

    #[test]
    fn four_words_are_temporary_keys() {
        for time in
            ["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.000Z", "2026-01-05T12:00:00+02:00", "2026-01-05T10:00:00"]
        {
            let credentials = parse(&format!("CREDENTIALS\tASIA {time}\n hush token")).unwrap();
            assert_eq!((credentials.access_key_id(), credentials.secret_access_key()), ("ASIA", "hush"));
            assert_eq!(credentials.session_token(), Some("token"));
            assert_eq!(credentials.expiry(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_607_200)));
        }
        let credentials = parse("CREDENTIALS ASIA 2026-01-05T10:00:00Z hush").unwrap();
        assert_eq!((credentials.secret_access_key(), credentials.session_token()), ("hush", None));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for (text, reason) in [
            ("", Malformed::Marker),
            ("hush", Malformed::Marker),
            ("credentials AKIA hush", Malformed::Marker),
            ("CREDENTIALS", Malformed::Fields),
            ("CREDENTIALS hush", Malformed::Fields),
            ("CREDENTIALS hush 2026-01-05T10:00:00Z", Malformed::Fields),
            ("CREDENTIALS AKIA 2026-01-05T10:00:00Z hush token more", Malformed::Fields),
            ("CREDENTIALS AKIA soon hush token", Malformed::Expiration),
            ("CREDENTIALS AKIA hush token", Malformed::Expiration),
        ] {
            assert_eq!(parse(text), Err(reason), "{text}");
            assert!(!reason.to_string().contains("hush"));
        }
    }

    #[test]
    fn expired_credentials_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        std::fs::write(&path, "CREDENTIALS ASIA 2026-01-05T10:00:00Z hush token").unwrap();
        let expiration = parse_time("2026-01-05T10:00:00Z").unwrap();
        assert!(read(&path, expiration - Duration::from_secs(1)).is_ok());
        let error = read(&path, expiration).unwrap_err();
        assert!(matches!(error, CredentialError::Expired { .. }));
        assert!(error.to_string().contains("2026-01-05T10:00:00Z"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_keys_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b' '; usize::try_from(LARGEST_FILE).unwrap() + 1]).unwrap();
        for path in [folder.path(), &large, &folder.path().join("missing")] {
            assert!(matches!(read(path, SystemTime::now()), Err(CredentialError::File { .. })), "{}", path.display());
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
        }

        #[test]
        fn no_words_panic(words in proptest::collection::vec("[!-~]{0,40}", 0..7)) {
            let parsed = parse(&format!("CREDENTIALS {}", words.join(" ")));
            let given = words.iter().filter(|word| !word.is_empty()).count();
            prop_assert!(parsed.is_err() || (2..=4).contains(&given));
        }
    }
}
