//! The hosts that the SDK's settings choose: FIPS and dual-stack endpoints, and sections of the shared files.

use std::path::Path;
use std::process::{Command, Output};

use gst::ResourceError;
use kvs_emulator::{Emulator, Operation};
use tempfile::TempDir;

use super::body::{Fragment, body};
use super::relay::Relay;
use super::support::{STREAM, command, init, printed, run, source};

const FIPS: (&str, &str) = ("AWS_USE_FIPS_ENDPOINT", "true");
const DUAL_STACK: (&str, &str) = ("AWS_USE_DUALSTACK_ENDPOINT", "true");

/// What the control plane is called in the emulator's region.
const HOSTS: [&str; 4] = [
    "kinesisvideo.us-west-2.amazonaws.com",
    "kinesisvideo-fips.us-west-2.amazonaws.com",
    "kinesisvideo.us-west-2.api.aws",
    "kinesisvideo-fips.us-west-2.api.aws",
];

/// An emulator that stands for all of these hosts.
fn service() -> Emulator {
    init();
    let builder = Emulator::builder().tls(true).end_at_head(true);
    let emulator = HOSTS.into_iter().fold(builder, |builder, host| builder.name(host)).start().unwrap();
    let fragments: Vec<Fragment> = (0..5).map(|index| Fragment::audio(index, 20)).collect();
    emulator.import_bytes(STREAM, body(&fragments)).unwrap();
    emulator
}

/// A home with this configuration file.
fn home(config: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    home
}

/// A program of a user who has no other AWS settings than credentials, a region and those of this home.
fn program(name: &str, emulator: &Emulator, home: &Path) -> Command {
    let mut command = command(name, emulator);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_lowercase();
        if text.starts_with("aws_") || text.ends_with("_proxy") {
            command.env_remove(&name);
        }
    }
    command.env_remove("AWS_ENDPOINT_URL").env("HOME", home).env("AWS_REGION", emulator.region());
    command.env("AWS_ACCESS_KEY_ID", emulator.access_key()).env("AWS_SECRET_ACCESS_KEY", emulator.secret_key());
    command
}

/// The frames of a stream's beginning go nowhere.
fn watch(mut launch: Command, source: &str) -> Output {
    launch.arg("-q").args(source.split_whitespace()).args(["!", "fakesink"]).output().unwrap()
}

/// A source without an endpoint of its own.
fn without_endpoint(emulator: &Emulator) -> String {
    let url = format!("endpoint-url={}", emulator.url());
    format!("{} ca-file={}", source(emulator).replace(&url, ""), emulator.ca_file().unwrap().display())
}

/// The same, of the archive.
fn of_the_archive(source: &str) -> String {
    let source = source.replace("start-selector=earliest", "start-timestamp=2026-01-05T00:00:00Z");
    format!("{source} playback-mode=on-demand")
}

fn called(emulator: &Emulator, operation: Operation) -> bool {
    emulator.requests().iter().any(|request| request.operation == operation)
}

#[track_caller]
fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn fips_and_dual_stack_choose_the_control_plane_and_every_call_behind_it_works() {
    let both = "[default]\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n";
    for (variables, config, host) in [
        (&[][..], "", HOSTS[0]),
        (&[FIPS], "", HOSTS[1]),
        (&[], "[default]\nuse_fips_endpoint = true\n", HOSTS[1]),
        (&[DUAL_STACK], "", HOSTS[2]),
        (&[FIPS, DUAL_STACK], "", HOSTS[3]),
        (&[], both, HOSTS[3]),
    ] {
        let (emulator, home) = (service(), home(config));
        let address = emulator.address();
        let proxy = Relay::proxy_that_finds(move |target| {
            HOSTS.iter().any(|host| target == format!("{host}:443")).then_some(address)
        });
        let launch = |name| {
            let mut command = program(name, &emulator, home.path());
            command.envs(variables.iter().copied()).env("HTTPS_PROXY", format!("http://{}", proxy.address));
            command
        };
        let source = without_endpoint(&emulator);
        succeeds(&watch(launch("gst-launch-1.0"), &source));
        succeeds(&watch(launch("gst-launch-1.0"), &of_the_archive(&source)));
        // What adds authorities to the system's for programs that have no property for that.
        let mut monitor = launch("gst-device-monitor-1.0");
        let (stdout, _) = printed(monitor.arg("Source/Network/KVS").env("SSL_CERT_FILE", emulator.ca_file().unwrap()));
        assert!(stdout.contains(STREAM), "{stdout}");
        for operation in [Operation::GetMedia, Operation::ListFragments, Operation::GetMediaForFragmentList] {
            assert!(called(&emulator, operation), "{variables:?} {config}: {operation:?}");
        }
        let asked = |host: &str| proxy.heads().iter().any(|head| head.starts_with(&format!("CONNECT {host}:443 ")));
        for other in HOSTS {
            assert_eq!(asked(other), other == host, "{variables:?} {config}: {other}");
        }
        // The endpoint that it names is this machine's.
        assert!(proxy.heads().iter().any(|head| head.starts_with(&format!("CONNECT {address} "))));
    }
}

#[test]
fn an_endpoint_that_is_given_is_used_whatever_else_is_set() {
    let (emulator, nobody) = (service(), home(""));
    let source = format!("{} ca-file={}", source(&emulator), emulator.ca_file().unwrap().display());
    for variables in [&[FIPS][..], &[DUAL_STACK], &[FIPS, DUAL_STACK]] {
        for source in [source.clone(), of_the_archive(&source)] {
            let mut launch = program("gst-launch-1.0", &emulator, nobody.path());
            launch.envs(variables.iter().copied());
            succeeds(&watch(launch, &source));
        }
    }
}

/// The SDK takes an endpoint of the environment for one of all services, and refuses it beside these settings.
#[test]
fn an_error_of_the_endpoint_rules_is_final_and_says_so() {
    let (emulator, nobody) = (service(), home(""));
    for (variable, reason) in [
        (FIPS, "FIPS and custom endpoint are not supported"),
        (DUAL_STACK, "Dualstack and custom endpoint are not supported"),
    ] {
        let mut launch = program("gst-launch-1.0", &emulator, nobody.path());
        launch.envs([variable]).env("AWS_ENDPOINT_URL", emulator.url());
        // For ever patient, were it not final.
        let source = without_endpoint(&emulator).replace("end-timestamp", "retry-timeout=-1 end-timestamp");
        let output = watch(launch, &source);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(reason), "{text}");
        assert!(text.contains("The AWS settings give no endpoint") && !text.contains("could not be reached"), "{text}");
    }
    assert!(emulator.requests().is_empty());
    for wrong in ["kinesisvideo", "http://"] {
        let source = source(&emulator).replace(&emulator.url(), wrong);
        let text = run(&source, "ANY").failed(ResourceError::Settings);
        assert!(text.contains(wrong), "{text}");
    }
}

#[test]
fn a_section_of_the_shared_file_gives_the_endpoint() {
    for key in ["kinesis_video", "kinesis-video"] {
        let emulator = service();
        let config = format!(
            "[default]\nservices = mine\n[services mine]\n{key} =\n  endpoint_url = {}\ndynamodb =\n  endpoint_url = \
             http://127.0.0.1:1\n",
            emulator.url()
        );
        let home = home(&config);
        let source = without_endpoint(&emulator);
        succeeds(&watch(program("gst-launch-1.0", &emulator, home.path()), &source));
        assert!(called(&emulator, Operation::GetDataEndpoint) && called(&emulator, Operation::GetMedia), "{key}");
        // The environment goes before it.
        let mut elsewhere = program("gst-launch-1.0", &emulator, home.path());
        elsewhere.env("AWS_ENDPOINT_URL_KINESIS_VIDEO", "http://127.0.0.1:1");
        let source = format!("{source} retry-timeout=0");
        assert!(!watch(elsewhere, &source).status.success(), "{key}");
    }
}
