//! The emulator judged by boto3 and botocore's signer, which nobody here wrote.
//!
//! Python comes from `KVS_PYTHON`, else from the virtual environment `target/venv`, which is made where it is missing.

mod client;
mod media;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use client::capture;
use kvs_emulator::{Emulator, Limits, LongStream};

const CAPTURE: &str = "output_get_media.mkv";

/// A Python that has boto3.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        if let Some(python) = std::env::var_os("KVS_PYTHON") {
            return python.into();
        }
        let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv");
        let python = environment.join("bin/python3");
        if !has_boto3(&python) {
            let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("../requirements.txt");
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(wanted));
        }
        python
    })
}

fn has_boto3(python: &Path) -> bool {
    Command::new(python).args(["-c", "import boto3"]).output().is_ok_and(|output| output.status.success())
}

/// Runs a command; answers what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {said}{complained}", command.get_program());
    said.into_owned()
}

/// Runs a script of this folder against an emulator; answers the last line that it printed.
fn script(name: &str, emulator: &Emulator, arguments: &[impl AsRef<OsStr>]) -> String {
    let mut command = Command::new(python());
    // Nothing of this machine's own configuration may help or hinder.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name));
    command.args([emulator.url().as_str(), emulator.region(), emulator.access_key(), emulator.secret_key()]);
    let said = run(command.args(arguments));
    said.lines().last().unwrap_or_default().to_owned()
}

fn judge(tls: bool) {
    let Some(bytes) = capture(CAPTURE) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(CAPTURE);
    std::fs::write(&file, &bytes).unwrap();
    let emulator = Emulator::builder().region("eu-west-1").tls(tls).end_at_head(true).start().unwrap();
    emulator.import_bytes("demo", bytes).unwrap();
    let authority = emulator.ca_file().unwrap_or(Path::new(""));
    assert_eq!(script("judge.py", &emulator, &[&*file, authority]), "media is put and read back");
}

#[test]
fn boto3_in_the_clear() {
    judge(false);
}

#[test]
fn boto3_under_tls() {
    judge(true);
}

#[test]
fn boto3_within_limits() {
    let emulator = Emulator::builder().limits(Limits::default()).start().unwrap();
    let recording = [media::header(), media::cluster(0, 50).bytes()].concat();
    emulator.put_long_stream("demo", LongStream::new(recording).unwrap()).unwrap();
    assert_eq!(script("judge_limits.py", &emulator, &[""; 0]), "connections are limited");
}

/// A producer that signs as producer-c does, over a socket of its own.
fn judge_producer(tls: bool) {
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body.mkv");
    let media = [media::header(), media::cluster(0, 25).bytes(), media::cluster(1000, 25).bytes()].concat();
    std::fs::write(&body, media).unwrap();
    let emulator = Emulator::builder().region("eu-west-1").tls(tls).start().unwrap();
    emulator.create_stream("demo").unwrap();
    let authority = emulator.ca_file().unwrap_or(Path::new(""));
    let keys = emulator.issue(Duration::from_secs(3600));
    let temporary = [keys.access_key, keys.secret_key, keys.session_token];
    let arguments = [body.as_os_str(), authority.as_os_str()].into_iter().chain(temporary.iter().map(OsStr::new));
    let said = script("judge_producer.py", &emulator, &arguments.collect::<Vec<_>>());
    assert_eq!(said, "calls with a body of their own sign it");
}

#[test]
fn a_producer_in_the_clear() {
    judge_producer(false);
}

#[test]
fn a_producer_under_tls() {
    judge_producer(true);
}
