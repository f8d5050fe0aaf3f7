//! Where the media goes: container, file or S3, and the elements for it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};

/// Where the media goes, and in which container.
#[derive(Clone, Debug)]
pub struct Output {
    place: Place,
    container: Container,
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    S3 { bucket: String, key: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Mp4,
    Matroska,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let container = match Path::new(text).extension().and_then(|extension| extension.to_str()) {
            Some("mp4" | "m4v" | "m4a") => Container::Mp4,
            Some("mkv" | "mka") => Container::Matroska,
            _ => return Err("the name must end in .mp4 or .mkv".to_owned()),
        };
        let place = match text.strip_prefix("s3://") {
            None => Place::File(text.into()),
            Some(rest) => match rest.split_once('/') {
                Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                    Place::S3 { bucket: bucket.to_owned(), key: key.to_owned() }
                }
                _ => return Err("s3://BUCKET/KEY is wanted".to_owned()),
            },
        };
        Ok(Self { place, container })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(formatter, "{}", path.display()),
            Place::S3 { bucket, key } => write!(formatter, "s3://{bucket}/{key}"),
        }
    }
}

impl Output {
    /// The name with a number before its extension, or with the next one: a.mp4, a-2.mp4, a-3.mp4.
    pub fn next(&self) -> String {
        let text = self.to_string();
        let (stem, extension) = text.rsplit_once('.').unwrap_or((&text, ""));
        let numbered = stem.rsplit_once('-').and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
        let (stem, number) = numbered.filter(|(_, number)| *number < 1000).unwrap_or((stem, 1));
        format!("{stem}-{}.{extension}", number.saturating_add(1))
    }

    /// Muxer and sink.
    pub fn elements(&self, overwrite: bool) -> anyhow::Result<(gst::Element, gst::Element)> {
        let sink = match &self.place {
            Place::File(path) => {
                if path.exists() && !overwrite {
                    bail!("{self} is already there; take another name, or --overwrite");
                }
                make("filesink")?.set("location", path.display().to_string())
            }
            Place::S3 { bucket, key } => {
                if gst::ElementFactory::find("awss3sink").is_none() {
                    bail!(
                        "{self} needs the element awss3sink, which is not installed. It is in the plugin aws of \
                         gst-plugins-rs (https://gitlab.freedesktop.org/gstreamer/gst-plugins-rs). Without it: \
                         download to a file, then `aws s3 cp FILE {self}`"
                    );
                }
                let sink = make("awss3sink")?.set("bucket", bucket.as_str()).set("key", key.as_str());
                match std::env::var("AWS_REGION") {
                    Ok(region) => sink.set("region", region),
                    Err(_) => sink,
                }
            }
        };
        let s3 = matches!(self.place, Place::S3 { .. });
        let muxer = match self.container {
            // What is in S3 cannot be gone back to: an MP4 in fragments, and a Matroska file without an index.
            Container::Mp4 if s3 => make("mp4mux")?.set("fragment-duration", 2000_u32).set("streamable", true),
            Container::Mp4 => make("mp4mux")?,
            Container::Matroska => make("matroskamux")?.set("streamable", s3),
        };
        Ok((muxer.build()?, sink.build()?))
    }
}

/// An element in the making; a missing one is named.
pub struct Making<'a>(gst::element_factory::ElementBuilder<'a>, &'a str);

pub fn make(name: &str) -> anyhow::Result<Making<'_>> {
    if gst::ElementFactory::find(name).is_none() {
        bail!("the GStreamer element {name} is not installed");
    }
    Ok(Making(gst::ElementFactory::make(name), name))
}

impl<'a> Making<'a> {
    pub fn set(self, name: &'a str, value: impl Into<gst::glib::Value> + 'a) -> Self {
        Self(self.0.property(name, value), self.1)
    }

    pub fn build(self) -> anyhow::Result<gst::Element> {
        self.0.build().with_context(|| format!("making {}", self.1))
    }
}

/// A file in which nothing came to be is no download.
pub fn remove_empty(output: &Output) {
    if let Place::File(path) = &output.place
        && std::fs::metadata(path).is_ok_and(|file| file.len() == 0)
    {
        let _ = std::fs::remove_file(path);
    }
}
