//! What a header says of stream and tracks, as GStreamer tags.

use crate::fragment::Header;
use crate::mkv::Track;

/// Name and language of a track; `None` where it has neither.
pub fn of_track(track: &Track) -> Option<gst::TagList> {
    let mut tags = gst::TagList::new();
    if let Some(tags) = tags.get_mut() {
        tags.set_scope(gst::TagScope::Stream);
        if let Some(name) = track.name.as_deref().filter(|name| !name.is_empty()) {
            tags.add::<gst::tags::Title>(&name, gst::TagMergeMode::Replace);
        }
        if let Some(code) = track.language.as_deref().and_then(language_code) {
            tags.add::<gst::tags::LanguageCode>(&code, gst::TagMergeMode::Replace);
        }
    }
    (tags.n_tags() > 0).then_some(tags)
}

/// What is true of the whole stream: its container, its title, what its fragment says, and what upstream does, which wins.
pub fn of_stream(header: &Header, fragment: Option<&gst::TagList>, upstream: Option<&gst::TagList>) -> gst::TagList {
    let mut tags = gst::TagList::new();
    if let Some(tags) = tags.get_mut() {
        tags.set_scope(gst::TagScope::Global);
        tags.add::<gst::tags::ContainerFormat>(&"Matroska", gst::TagMergeMode::Replace);
        if let Some(title) = header.info.title.as_deref().filter(|title| !title.is_empty()) {
            tags.add::<gst::tags::Title>(&title, gst::TagMergeMode::Replace);
        }
        for said in [fragment, upstream].into_iter().flatten() {
            tags.insert(said, gst::TagMergeMode::Replace);
        }
    }
    tags
}

/// The code of ISO 639 in a Language or LanguageBCP47 (RFC 9559, section 12); `None` for an undetermined one.
fn language_code(language: &str) -> Option<&str> {
    let code = language.split('-').next()?;
    let valid = (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    (valid && !code.eq_ignore_ascii_case("und")).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        for (language, code) in [
            ("ger", Some("ger")),
            ("de-CH", Some("de")),
            ("zh-Hant-TW", Some("zh")),
            ("und", None),
            ("", None),
            ("x-private", None),
            ("d3", None),
        ] {
            assert_eq!(language_code(language), code, "{language}");
        }
    }
}
