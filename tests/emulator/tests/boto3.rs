//! The emulator judged by boto3, a client that nobody here wrote.
//!
//! Python comes from `KVS_PYTHON`, else from the virtual environment `target/venv`, which is made where it is missing.

mod client;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use client::capture;
use kvs_emulator::Emulator;

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

fn judge(tls: bool) {
    let Some(bytes) = capture(CAPTURE) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(CAPTURE);
    std::fs::write(&file, &bytes).unwrap();
    let emulator = Emulator::builder().region("eu-west-1").tls(tls).end_at_head(true).start().unwrap();
    emulator.import_bytes("demo", bytes).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judge.py");
    let mut command = Command::new(python());
    // Nothing of this machine's own configuration may help or hinder.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command.arg(script).args([emulator.url().as_str(), emulator.region(), emulator.access_key()]);
    command.arg(emulator.secret_key()).arg(&file).arg(emulator.ca_file().unwrap_or(Path::new("")));
    let said = run(&mut command);
    assert_eq!(said.lines().last(), Some("media is put and read back"), "{said}");
}

#[test]
fn boto3_in_the_clear() {
    judge(false);
}

#[test]
fn boto3_under_tls() {
    judge(true);
}
