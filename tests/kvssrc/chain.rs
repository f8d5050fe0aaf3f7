//! Credentials of what the AWS SDK speaks to or finds by itself, in processes whose environment says where.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use kvs_emulator::Emulator;
use kvs_emulator::identity::{
    ACCESS_TOKEN, AUTHORIZATION_TOKEN, CredentialServer, LOGIN_PROVIDER, LOGIN_SESSION, LOGIN_TOKEN, Party, Refusal,
    WEB_IDENTITY_TOKEN,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::credentials::{emulator, iot_certificate, last_used, source, write_keys};
use super::support::command;

const ROLE: &str = "arn:aws:iam::123456789012:role/viewer";
const HOUR: Duration = Duration::from_secs(3600);

/// What a user has who types a launch line: an emulator, the services around it, and a home.
struct User {
    emulator: Emulator,
    server: CredentialServer,
    home: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl User {
    fn new() -> Self {
        let emulator = emulator();
        let server = CredentialServer::start(&emulator).unwrap();
        Self { emulator, server, home: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn with_file(self, name: &str, text: &str) -> Self {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs kvssrc with these properties; nothing of this process's own environment shows it credentials.
    fn launch(&self, properties: &str) -> Output {
        self.launch_line(&format!("{} {properties}", source(&self.emulator)))
    }

    fn launch_line(&self, source: &str) -> Output {
        let mut command = command("gst-launch-1.0", &self.emulator);
        without_aws(&mut command);
        command
            .args(["-q", "-m"])
            .args(source.split_whitespace())
            .args(["!", "fakesink"])
            .env("HOME", self.home())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_STS", self.server.url())
            .env("AWS_ENDPOINT_URL_SSO", self.server.url())
            .env("AWS_ENDPOINT_URL_SIGNIN", self.server.url())
            .env("AWS_ENDPOINT_URL_COGNITO_IDENTITY", self.server.url())
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.output().unwrap()
    }

    /// The same, which must go well.
    #[track_caller]
    fn watches(&self, properties: &str) {
        let output = self.launch(properties);
        assert!(output.status.success(), "{}", text(&output));
    }

    /// The same, which must fail and say this, and no secret.
    #[track_caller]
    fn fails(&self, properties: &str, says: &str) -> String {
        let output = self.launch(properties);
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says), "{text}");
        text
    }

    /// What was asked for, by the only request for credentials.
    #[track_caller]
    fn asked(&self, party: Party) -> Value {
        let [request] = self.server.requests().try_into().unwrap();
        assert_eq!(request.party, party);
        assert_eq!(last_used(&self.emulator), self.server.issued()[0].access_key);
        request.asked
    }
}

fn without_aws(command: &mut Command) {
    let set: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
    for name in set.into_iter().chain(std::env::vars_os().map(|(name, _)| name)) {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_cognito_identity() {
    let user = User::new();
    user.watches("cognito-identity-pool-id=us-west-2:0123-4567");
    let asked = user.asked(Party::Cognito);
    assert!(asked["IdentityId"].as_str().unwrap().starts_with("us-west-2:"), "{asked}");
    assert_eq!(asked["Logins"], Value::Null);
}

#[test]
fn a_cognito_identity_with_a_login() {
    let user = User::new();
    user.watches(&format!("cognito-identity-pool-id=us-west-2:0123 cognito-login={LOGIN_PROVIDER}:{LOGIN_TOKEN}"));
    assert_eq!(user.asked(Party::Cognito)["Logins"], json!({ LOGIN_PROVIDER: LOGIN_TOKEN }));
}

#[test]
fn a_cognito_identity_in_another_region_than_the_stream() {
    let user = User::new();
    let text = user.fails("cognito-identity-pool-id=eu-west-1:0123", "eu-west-1:0123");
    assert!(text.contains("ResourceNotFoundException"), "{text}");
}

#[test]
fn cognito_refuses() {
    let user = User::new();
    let pool = "cognito-identity-pool-id=us-west-2:0123";
    let text = user.fails(&format!("{pool} cognito-login={LOGIN_PROVIDER}:wrongtoken"), "Invalid login token");
    assert!(text.contains("us-west-2:0123") && !text.contains("wrongtoken"), "{text}");
    user.server.set_refusal(Some(Refusal::new(
        400,
        "NotAuthorizedException",
        "Unauthenticated access is not supported",
    )));
    user.fails(pool, "Unauthenticated access is not supported");
    user.fails("cognito-login=a:b", "cognito-identity-pool-id");
}

#[test]
fn a_profile_wins_over_the_environment() {
    let user = User::new();
    let keys = user.emulator.issue(HOUR);
    let profile = format!(
        "[default]\naws_access_key_id = AKIANOBODY\naws_secret_access_key = x\n[viewer]\naws_access_key_id = {}\n\
         aws_secret_access_key = {}\naws_session_token = {}\n",
        keys.access_key, keys.secret_key, keys.session_token
    );
    let user = user
        .with_file(".aws/credentials", &profile)
        .with("AWS_ACCESS_KEY_ID", "AKIASOMEBODY")
        .with("AWS_SECRET_ACCESS_KEY", "y")
        .with("AWS_PROFILE", "default");
    user.watches("profile=viewer");
    assert_eq!(last_used(&user.emulator), keys.access_key);
    user.fails("profile=missing", "No AWS credentials");
}

#[test]
fn a_profile_gives_the_region() {
    let user = User::new();
    let keys = (user.emulator.access_key(), user.emulator.secret_key());
    let profile = format!(
        "[profile viewer]\nregion = {}\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        user.emulator.region(),
        keys.0,
        keys.1
    );
    let user = user.with_file(".aws/config", &profile);
    let line = source(&user.emulator).replace(&format!("aws-region={}", user.emulator.region()), "profile=viewer");
    let output = user.launch_line(&line);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_profile_with_a_role() {
    let user = User::new();
    let profiles = format!(
        "[profile base]\naws_access_key_id = {}\naws_secret_access_key = {}\n[profile viewer]\nrole_arn = {ROLE}\n\
         source_profile = base\n",
        user.emulator.access_key(),
        user.emulator.secret_key()
    );
    let user = user.with_file(".aws/config", &profiles);
    user.watches("profile=viewer");
    assert_eq!(user.asked(Party::Sts)["RoleArn"], ROLE);
}

#[test]
fn the_environment() {
    let user = User::new();
    let keys = user.emulator.issue(HOUR);
    let user = user
        .with("AWS_ACCESS_KEY_ID", &keys.access_key)
        .with("AWS_SECRET_ACCESS_KEY", &keys.secret_key)
        .with("AWS_SESSION_TOKEN", &keys.session_token);
    user.watches("");
    assert_eq!(last_used(&user.emulator), keys.access_key);
}

#[test]
fn a_credential_process() {
    let user = User::new();
    let keys = user.emulator.issue(HOUR);
    let answer = json!({
        "Version": 1,
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret_key,
        "SessionToken": keys.session_token,
        "Expiration": keys.expiration_text(),
    });
    let process = format!("[default]\ncredential_process = cat {}/answer.json\n", user.home().display());
    let user = user.with_file("answer.json", &answer.to_string()).with_file(".aws/config", &process);
    user.watches("");
    assert_eq!(last_used(&user.emulator), keys.access_key);
}

#[test]
fn a_credential_process_that_fails_tells_no_secret() {
    let user = User::new();
    for (process, answer) in [
        ("[default]\ncredential_process = cat HOME/answer.json >&2; exit 3\n", "{\"SecretAccessKey\": \"hush\"}"),
        ("[default]\ncredential_process = cat HOME/answer.json\n", "{\"Version\": 1, \"SecretAccessKey\": \"hush\"}"),
        ("[default]\ncredential_process = cat HOME/answer.json\n", "hush"),
        ("[default]\ncredential_process = cat HOME/answer.json\n", "{\"Version\": 1, \"SecretAccessKey\": hush}"),
    ] {
        let process = process.replace("HOME", user.home().to_str().unwrap());
        std::fs::create_dir_all(user.home().join(".aws")).unwrap();
        std::fs::write(user.home().join(".aws/config"), process).unwrap();
        std::fs::write(user.home().join("answer.json"), answer).unwrap();
        let text = user.fails("", "The source that the AWS SDK found gave no credentials: ");
        assert!(text.contains("external process") && !text.contains("hush"), "{text}");
    }
}

#[test]
fn identity_center() {
    // The name of the file is the SHA-1 of the session's.
    const CACHE: &str = ".aws/sso/cache/b1c1d8736f20db3fb6c1c66bb1455ed43909f0d8.json";
    let token = json!({
        "accessToken": ACCESS_TOKEN,
        "expiresAt": "2999-01-01T00:00:00Z",
        "region": "us-west-2",
        "startUrl": "https://example.awsapps.com/start",
    });
    let user = User::new().with_file(CACHE, &token.to_string()).with_file(
        ".aws/config",
        "[default]\nsso_session = me\nsso_account_id = 123456789012\nsso_role_name = viewer\n[sso-session me]\n\
         sso_region = us-west-2\nsso_start_url = https://example.awsapps.com/start\n",
    );
    user.watches("");
    assert_eq!(user.asked(Party::Sso), json!({ "account_id": "123456789012", "role_name": "viewer" }));
}

/// A user with a profile that takes a console session's credentials.
fn signing_in() -> User {
    let profile = format!("[default]\nregion = us-west-2\nlogin_session = {LOGIN_SESSION}\n");
    User::new().with_file(".aws/config", &profile)
}

#[test]
fn a_console_session() {
    let user = signing_in();
    let sessions = user.home().join(".aws/login/cache");
    user.server.sign_in(&sessions, HOUR).unwrap();
    user.watches("");
    assert!(user.server.requests().is_empty());
    // What is left of it is too little: it is renewed, and what comes of that is kept for the next program.
    user.server.sign_in(&sessions, Duration::ZERO).unwrap();
    user.watches("");
    user.asked(Party::SignIn);
    user.watches("");
    user.asked(Party::SignIn);
    let profile = format!("[profile console]\nregion = us-west-2\nlogin_session = {LOGIN_SESSION}\n");
    let user = user.with_file(".aws/config", &profile);
    user.watches("profile=console");
}

#[test]
fn without_a_console_session_the_error_says_how_to_sign_in() {
    let user = signing_in();
    let patient = "retry-timeout=-1";
    let text = user.fails(patient, "run `aws login`");
    assert!(!text.contains("feature") && !text.contains("AWS SDK found"), "{text}");
    // The session is over.
    let sessions = user.home().join(".aws/login/cache");
    user.server.sign_in(&sessions, Duration::ZERO).unwrap();
    user.server.set_refusal(Some(Refusal::new(401, "AccessDeniedException", "TOKEN_EXPIRED")));
    let text = user.fails(patient, "run `aws login`");
    assert!(text.contains("session has expired"), "{text}");
    // The endpoint does not answer: it may later.
    user.server.set_refusal(Some(Refusal::new(500, "InternalServerException", "server_error")));
    let text = user.fails("retry-timeout=0", "The source that the AWS SDK found gave no credentials: ");
    assert!(!text.contains("aws login`"), "{text}");
    for session in std::fs::read_dir(&sessions).unwrap() {
        std::fs::write(session.unwrap().path(), "{\"refreshToken\":\"hush\"").unwrap();
    }
    let text = user.fails(patient, "run `aws login`");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn without_a_session_of_identity_center_the_error_says_how_to_sign_in() {
    let profile = "[default]\nsso_session = me\nsso_account_id = 123456789012\nsso_role_name = viewer\n[sso-session me]\n\
                   sso_region = us-west-2\nsso_start_url = https://example.awsapps.com/start\n";
    let user = User::new().with_file(".aws/config", profile);
    user.fails("retry-timeout=-1", "run `aws sso login`");
}

#[test]
fn a_web_identity() {
    let user = User::new().with_file("token", WEB_IDENTITY_TOKEN);
    let token = user.home().join("token").display().to_string();
    let user = user.with("AWS_WEB_IDENTITY_TOKEN_FILE", token).with("AWS_ROLE_ARN", ROLE);
    user.watches("");
    let asked = user.asked(Party::Sts);
    assert_eq!((&asked["Action"], &asked["RoleArn"]), (&json!("AssumeRoleWithWebIdentity"), &json!(ROLE)));
}

#[test]
fn a_web_identity_that_is_refused() {
    let user = User::new().with_file("token", "wrongtoken");
    let token = user.home().join("token").display().to_string();
    let user = user.with("AWS_WEB_IDENTITY_TOKEN_FILE", token).with("AWS_ROLE_ARN", ROLE);
    let text = user.fails("", "AWS STS refused: No such token (InvalidIdentityToken).");
    assert!(!text.contains("wrongtoken"), "{text}");
}

#[test]
fn a_container() {
    let user = User::new();
    let url = user.server.container_url();
    let user = user
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION_TOKEN);
    user.watches("");
    user.asked(Party::Container);
    // Nobody listens at the proxy, which only the emulator is exempt from.
    let url = user.server.container_url().replace("127.0.0.1", "localhost");
    let user = user
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        .with("http_proxy", "http://127.0.0.1:1")
        .with("no_proxy", "127.0.0.1");
    user.watches("");
    assert_eq!(user.server.requests().len(), 2);
    user.server.set_refusal(Some(Refusal::new(500, "InternalError", "Not now")));
    user.fails("", "The source that the AWS SDK found gave no credentials: ");
}

#[test]
fn an_instance() {
    let user = User::new();
    let url = user.server.url();
    let user = user.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", url).with("AWS_EC2_METADATA_DISABLED", "false");
    user.watches("");
    user.asked(Party::Instance);
}

#[test]
fn a_role_on_top_of_keys() {
    let user = User::new();
    let keys =
        format!("access-key={} secret-key={} role-arn={ROLE}", user.emulator.access_key(), user.emulator.secret_key());
    user.watches(&keys);
    let asked = user.asked(Party::Sts);
    assert_eq!((&asked["Action"], &asked["RoleArn"]), (&json!("AssumeRole"), &json!(ROLE)));
    assert_eq!((&asked["RoleSessionName"], &asked["ExternalId"]), (&json!("kvssrc"), &Value::Null));
    user.watches(&format!("{keys} role-session-name=gate role-external-id=customer-7"));
    let asked = &user.server.requests()[1].asked;
    assert_eq!((&asked["RoleSessionName"], &asked["ExternalId"]), (&json!("gate"), &json!("customer-7")));
}

#[test]
fn a_role_on_top_of_any_other_source() {
    let user = User::new();
    let path = user.home().join("credential");
    write_keys(&path, &user.emulator.issue(HOUR));
    let (access_key, secret_key) = (user.emulator.access_key().to_owned(), user.emulator.secret_key().to_owned());
    let user = user.with("AWS_ACCESS_KEY_ID", access_key).with("AWS_SECRET_ACCESS_KEY", secret_key);
    let iot = format!("iot-certificate={}", iot_certificate(&user.server));
    for (base, asks) in [
        (format!("credential-path={}", path.display()), 1),
        (iot, 2),
        ("cognito-identity-pool-id=us-west-2:0123".to_owned(), 2),
        (String::new(), 1),
    ] {
        let before = user.server.requests().len();
        user.watches(&format!("{base} role-arn={ROLE}"));
        let requests = user.server.requests();
        assert_eq!(requests.len() - before, asks, "{base}");
        assert_eq!(requests.last().unwrap().party, Party::Sts, "{base}");
        assert_eq!(last_used(&user.emulator), user.server.issued().last().unwrap().access_key, "{base}");
    }
}

#[test]
fn a_role_that_is_refused() {
    let user = User::new();
    let keys =
        format!("access-key={} secret-key={} role-arn={ROLE}", user.emulator.access_key(), user.emulator.secret_key());
    let text = user.fails(&keys.replace(user.emulator.secret_key(), "wrongsecret"), ROLE);
    assert!(!text.contains("wrongsecret"), "{text}");
    user.server.set_refusal(Some(Refusal::new(403, "AccessDenied", "Not authorized to perform: sts:AssumeRole")));
    let text = user.fails(&keys, "Not authorized to perform: sts:AssumeRole (AccessDenied).");
    assert!(text.contains(ROLE), "{text}");
    // What the source below the role says comes through.
    user.fails(&format!("credential-path=/nowhere role-arn={ROLE}"), "The credential file /nowhere cannot be used");
    user.fails(&format!("role-arn={ROLE}"), "No AWS credentials");
    user.fails("role-external-id=x", "role-arn");
    assert!(user.emulator.requests().is_empty());
}
