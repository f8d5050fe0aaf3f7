//! The program: an emulator with streams from files, until it is told to stop.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use kvs_emulator::{DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Emulator, Limits, LongStream, StreamSettings};
use tokio::signal::unix::{SignalKind, signal};

/// A local Amazon Kinesis Video Streams.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A stream, and the Matroska file (or GetMedia body) that it holds; a name alone makes an empty stream.
    #[arg(long = "stream", value_name = "NAME[=FILE]")]
    streams: Vec<String>,

    /// A stream of 24 hours: the first fragment of the Matroska file over and over.
    #[arg(long = "long-stream", value_name = "NAME=FILE")]
    long_streams: Vec<String>,

    /// Replay every file for ever in real time, as a camera would put it.
    #[arg(long)]
    live: bool,

    /// How many hours every stream keeps its fragments, counted from their server timestamps; a recording that GetMedia
    /// returned has its own. Else they are kept for ever, and said to be kept for 24 hours.
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=87600))]
    retention: Option<u64>,

    /// The media type that every stream is said to have, such as video/h264.
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,

    /// End GetMedia's body where nothing more is stored, instead of waiting for more.
    #[arg(long)]
    end_at_head: bool,

    /// How many bytes a second each connection that carries media gets at most, such as 25MB.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    rate: Option<u64>,

    /// Refuse calls and connections past the service's quotas.
    #[arg(long)]
    limits: bool,

    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    listen: SocketAddr,

    /// Speak TLS, HTTP/2 and HTTP/1.1.
    #[arg(long)]
    tls: bool,

    /// Where to listen under TLS for PutMedia, which producers send over HTTP/1.1 alone; a free port else.
    #[arg(long, value_name = "ADDRESS", requires = "tls")]
    put_media_listen: Option<SocketAddr>,

    /// Where to write the certificate that clients must trust.
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_ca_file: Option<PathBuf>,

    /// The region that requests must be signed for.
    #[arg(long, default_value = "us-west-2")]
    region: String,

    /// The access key id that requests must be signed with.
    #[arg(long, value_name = "ID", default_value = DEMO_ACCESS_KEY)]
    access_key: String,

    /// The secret that requests must be signed with.
    #[arg(long, value_name = "SECRET", default_value = DEMO_SECRET_KEY)]
    secret_key: String,

    /// The session token that requests must carry.
    #[arg(long, value_name = "TOKEN")]
    session_token: Option<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvs-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminated, mut interrupted) = {
        // Before anything is printed, so that a signal that answers the print is not missed.
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let mut builder = Emulator::builder()
        .listen(arguments.listen)
        .region(&arguments.region)
        .credentials(&arguments.access_key, &arguments.secret_key)
        .tls(arguments.tls)
        .end_at_head(arguments.end_at_head);
    if let Some(address) = arguments.put_media_listen {
        builder = builder.listen_for_put_media(address);
    }
    if let Some(token) = &arguments.session_token {
        builder = builder.session_token(token);
    }
    if let Some(rate) = arguments.rate {
        builder = builder.rate(rate);
    }
    if arguments.limits {
        builder = builder.limits(Limits::default());
    }
    let emulator = builder.start()?;
    if let (Some(path), Some(pem)) = (&arguments.tls_ca_file, emulator.ca_pem()) {
        std::fs::write(path, pem).map_err(|error| format!("writing {}: {error}", path.display()))?;
    }
    let mut first = None;
    for stream in &arguments.streams {
        let (name, file) = stream.split_once('=').map_or((stream.as_str(), None), |(name, file)| (name, Some(file)));
        make(&emulator, &arguments, name)?;
        if let Some(file) = file {
            emulator.import_file(name, file).map_err(|error| format!("{file}: {error}"))?;
            if arguments.live {
                emulator.start_live(name)?;
            }
        }
        first = first.or(Some(name));
    }
    for stream in &arguments.long_streams {
        let (name, file) = stream.split_once('=').ok_or_else(|| format!("{stream}: NAME=FILE is wanted"))?;
        let recording = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let long = LongStream::new(recording).map_err(|error| format!("{file}: {error}"))?;
        make(&emulator, &arguments, name)?;
        emulator.put_long_stream(name, long)?;
        first = first.or(Some(name));
    }
    announce(&emulator, &arguments, first)?;
    runtime.block_on(async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    });
    drop(emulator);
    Ok(())
}

/// Makes a stream as the arguments would have every stream.
fn make(emulator: &Emulator, arguments: &Arguments, name: &str) -> Result<(), kvs_emulator::Error> {
    let settings = StreamSettings { media_type: arguments.media_type.clone(), ..StreamSettings::default() };
    let retention_hours = arguments.retention.unwrap_or(settings.retention_hours);
    emulator.create_stream_with(name, StreamSettings { retention_hours, ..settings })?;
    emulator.set_retention(name, arguments.retention.map(|hours| Duration::from_secs(hours * 3600)))
}

/// Reads a number of bytes: digits, and kB, MB or GB behind them.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("B", 1), ("", 1)];
    let unit = units.into_iter().find_map(|(unit, bytes)| text.strip_suffix(unit).map(|digits| (digits, bytes)));
    let number = unit.and_then(|(digits, bytes)| digits.trim().parse::<u64>().ok()?.checked_mul(bytes));
    number.filter(|bytes| *bytes > 0).ok_or_else(|| "a number of bytes is wanted, such as 25MB".to_owned())
}

/// Says where it listens, what reads the first stream, if there is one, and where producers are pointed to, if elsewhere. Keys
/// that are not the demonstration's are not shown.
fn announce(emulator: &Emulator, arguments: &Arguments, stream: Option<&str>) -> std::io::Result<()> {
    let (url, region) = (emulator.url(), emulator.region());
    let mut lines = format!("listening on {url}\n");
    if let Some(stream) = stream {
        let demonstration = arguments.secret_key == DEMO_SECRET_KEY && arguments.session_token.is_none();
        let keys = if demonstration {
            format!("access-key={} secret-key={}", arguments.access_key, arguments.secret_key)
        } else {
            "access-key=… secret-key=…".to_owned()
        };
        let selector = if arguments.live { "now" } else { "earliest" };
        lines += &format!(
            "kvssrc stream={stream} start-selector={selector} endpoint-url={url} aws-region={region} {keys}\n"
        );
    }
    let producers = emulator.put_media_url();
    if producers != url {
        lines += &format!("producers without HTTP/2 at {producers}\n");
    }
    // In one piece: who reads the first line and closes the pipe does not end the program.
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    out.flush()
}
