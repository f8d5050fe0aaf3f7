//! Programs that nobody here wrote, and what they say of a file.

use std::path::Path;
use std::process::Command;

use super::support::printed;

/// The packets of a file's streams, as ffprobe reads them.
#[derive(Debug)]
pub struct Packets {
    /// The codec's name, one a stream.
    pub codecs: Vec<String>,
    /// How many packets each stream has.
    pub counts: Vec<usize>,
    /// Begin and duration in seconds, one a packet of the first stream.
    pub times: Vec<(f64, f64)>,
    /// When they are decoded, in seconds.
    pub decoded: Vec<f64>,
    /// The file's own duration, in seconds, where it tells.
    pub duration: Option<f64>,
}

impl Packets {
    /// From the begin of the first packet to the end of the last, in seconds.
    pub fn span(&self) -> f64 {
        let (first, _) = self.times[0];
        let (last, duration) = self.times[self.times.len() - 1];
        last + duration - first
    }
}

/// What ffprobe reads; it must have nothing to warn of.
#[track_caller]
pub fn ffprobe(file: &Path) -> Packets {
    let (stdout, stderr) = printed(
        Command::new("ffprobe")
            .args(["-v", "warning", "-of", "json", "-show_packets", "-show_streams", "-show_format"])
            .arg(file),
    );
    // FFmpeg has to learn, too, what parameter sets do not say. Of a codec with a constant bit rate it says that a file has no
    // duration.
    let known = ["Increasing reorder buffer", "Estimating duration from bitrate"];
    let warns = |line: &&str| !known.iter().any(|known| line.contains(known));
    let warnings: Vec<&str> = stderr.lines().filter(warns).collect();
    assert!(warnings.is_empty(), "ffprobe warns: {warnings:?}");
    let read: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let number = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let list = |name: &str| read[name].as_array().unwrap().clone();
    let count = |stream: usize| list("packets").iter().filter(|packet| packet["stream_index"] == stream).count();
    Packets {
        counts: (0..list("streams").len()).map(count).collect(),
        codecs: list("streams").iter().map(|stream| stream["codec_name"].as_str().unwrap().to_owned()).collect(),
        times: list("packets")
            .iter()
            .filter(|packet| packet["stream_index"] == 0)
            .map(|packet| (number(&packet["pts_time"]).unwrap(), number(&packet["duration_time"]).unwrap_or(0.0)))
            .collect(),
        decoded: list("packets")
            .iter()
            .filter(|packet| packet["stream_index"] == 0)
            .map(|packet| number(&packet["dts_time"]).unwrap_or(f64::NAN))
            .collect(),
        duration: number(&read["format"]["duration"]),
    }
}

/// How many pictures FFmpeg decodes, which must have nothing to complain of.
#[track_caller]
pub fn decoded_pictures(file: &Path) -> usize {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames"]);
    let (stdout, stderr) = printed(command.args(["-of", "csv=p=0"]).arg(file));
    // A picture that is behind a keyframe may say that one before it is needed no more, which has not come.
    let complaints: Vec<&str> = stderr.lines().filter(|line| !line.contains("mmco: unref short failure")).collect();
    assert!(complaints.is_empty(), "FFmpeg complains of {}: {complaints:?}", file.display());
    // A transport stream has its streams in a programme, too.
    stdout.lines().next().unwrap_or_default().trim_end_matches(',').parse().unwrap_or(0)
}

/// What mkvinfo prints; it must have nothing to warn of.
#[track_caller]
pub fn mkvinfo(file: &Path) -> String {
    let (stdout, stderr) = printed(Command::new("mkvinfo").args(["--ui-language", "en_US", "--all"]).arg(file));
    let text = format!("{stdout}{stderr}");
    for word in ["Warning", "Error", "error", "Unknown element"] {
        assert!(!text.contains(word), "mkvinfo: {text}");
    }
    text
}

/// What gst-discoverer-1.0 prints.
#[track_caller]
pub fn discoverer(file: &Path) -> String {
    printed(Command::new("gst-discoverer-1.0").arg("-v").arg(file)).0
}
