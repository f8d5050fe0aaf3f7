//! What a user asks for, and the command that asks for the rest of it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

use crate::figures::Figures;
use crate::output::Output;
use crate::time::{nanoseconds, rfc3339, since_1970};

/// Downloads what a Kinesis Video stream has stored.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Name or ARN of the stream.
    #[arg(long)]
    pub stream: String,
    /// Where to begin: RFC 3339, or seconds since 1970 [default: the oldest that is stored].
    #[arg(long, value_name = "TIME")]
    pub start: Option<String>,
    /// Where to end [default: now]. One in the future is waited for.
    #[arg(long, value_name = "TIME")]
    pub end: Option<String>,
    /// Where to write: FILE.mp4, FILE.mkv or s3://BUCKET/KEY.mp4 or .mkv.
    #[arg(short, long)]
    pub output: Output,
    /// Replace the file if it is there.
    #[arg(long)]
    pub overwrite: bool,
    /// File that remembers how far this came; where it is there, go on behind that.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// How many connections read a range that has a start, an end that has passed, and no checkpoint, 1 to 5 [default: 3].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=5))]
    pub connections: Option<u32>,
    /// Encode as H.264 and AAC, instead of copying the frames as they are.
    #[arg(long)]
    pub transcode: bool,
    /// Set a property of kvssrc, such as aws-region=eu-west-1 or profile=work.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<Setting>,
}

#[derive(Clone, Debug)]
pub struct Setting(pub String, pub String);

impl FromStr for Setting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// Whether all of the range is there, so that the archive gives it. A checkpoint goes on with what comes.
pub fn is_bounded(arguments: &Arguments, end: &str) -> bool {
    let is_past = nanoseconds(end).is_some_and(|end| end <= since_1970());
    arguments.start.is_some() && arguments.checkpoint.is_none() && is_past
}

/// The command that fetches the rest.
pub fn go_on(arguments: &Arguments, figures: &Figures) -> String {
    let mut words = vec!["download".to_owned(), "--stream".to_owned(), arguments.stream.clone()];
    let start = match &arguments.checkpoint {
        Some(_) => arguments.start.clone(),
        None => figures.fragment.map(rfc3339).or_else(|| arguments.start.clone()),
    };
    let mut option =
        |name: &str, value: Option<String>| words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    option("--start", start);
    option("--end", arguments.end.clone());
    option("--connections", arguments.connections.map(|count| count.to_string()));
    option("--checkpoint", arguments.checkpoint.as_ref().map(|file| file.display().to_string()));
    for Setting(name, value) in &arguments.set {
        // Keys are not for a screen.
        let secret = ["access-key", "secret-key", "session-token", "cognito-login"].contains(&name.as_str());
        option("--set", Some(format!("{name}={}", if secret { "…" } else { value })));
    }
    option("--output", Some(arguments.output.next()));
    if arguments.transcode {
        words.push("--transcode".to_owned());
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./:=…".contains(character);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
