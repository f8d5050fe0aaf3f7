//! Sessions that a person begins by a command: what to run where there is none, or where it is over.

use std::path::Path;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_signin::operation::create_o_auth2_token::CreateOAuth2TokenError as TokenError;

use super::CredentialError;
use super::error::find;
use crate::aws::error::chain;

/// A console session, and one of IAM Identity Center.
const LOGIN: &str = "aws login";
const SSO_LOGIN: &str = "aws sso login";

/// What a profile's session tells that gives no credentials until somebody has signed in.
pub(super) fn without_session(error: CredentialsError) -> CredentialsError {
    let command = match find::<TokenError>(&error) {
        // What else the token endpoint says may pass, and so may a network that does not reach it.
        Some(TokenError::AccessDeniedException(_) | TokenError::ValidationException(_)) => Some(LOGIN),
        Some(_) => None,
        None => command(&chain(&error)),
    };
    match command {
        Some(command) => CredentialError::SignedOut { command, reason: chain(&error) }.into(),
        None => error,
    }
}

/// The SDK's own errors of sessions are private types: their texts tell them apart, and the files that they name, which
/// are called after a hash of the session.
fn command(text: &str) -> Option<&'static str> {
    if text.contains("cached Login token") {
        return Some(LOGIN);
    }
    if text.contains("SSO token") {
        return Some(SSO_LOGIN);
    }
    let file = text.split('`').find(|part| part.ends_with(".json"))?;
    let hash = Path::new(file).file_stem()?.to_str()?;
    match hash.len() {
        _ if !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => None,
        // SHA-256, and SHA-1.
        64 => Some(LOGIN),
        40 => Some(SSO_LOGIN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_told_apart() {
        let file =
            |digits: usize| format!("failed to read `/home/me/x/{}.json`: No such file", "0a".repeat(digits / 2));
        for (text, wanted) in [
            ("failed to load: cached Login token is expired", Some(LOGIN)),
            ("missing field `dpopKey` in cached Login token file", Some(LOGIN)),
            ("the SSO token has expired and cannot be refreshed", Some(SSO_LOGIN)),
            (&file(64), Some(LOGIN)),
            (&file(40), Some(SSO_LOGIN)),
            (&file(20), None),
            ("failed to read `/home/me/answer.json`", None),
            ("no such profile", None),
        ] {
            assert_eq!(command(text), wanted, "{text}");
        }
    }
}
