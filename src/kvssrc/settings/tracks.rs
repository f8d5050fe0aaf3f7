//! The properties that say which tracks go out, and as what.

use gst::glib;
use gst::prelude::*;

use crate::output::{OnNewTrack, TrackCaps, track_caps_property};

/// What a track means that the Matroska document has no place for, as the property spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstKvsSrcOnNewTrack")]
pub enum OnNewTrackType {
    #[default]
    #[enum_value(name = "It is left out, with a message", nick = "leave-out")]
    LeaveOut,
    #[enum_value(name = "A new document begins, whose header has it", nick = "new-document")]
    NewDocument,
}

impl From<OnNewTrackType> for OnNewTrack {
    fn from(choice: OnNewTrackType) -> Self {
        match choice {
            OnNewTrackType::LeaveOut => Self::LeaveOut,
            OnNewTrackType::NewDocument => Self::NewDocument,
        }
    }
}

/// The properties as they were set.
#[derive(Clone, Debug, Default)]
pub(super) struct TrackProperties {
    caps: Option<gst::Caps>,
    on_new_track: OnNewTrackType,
}

impl TrackProperties {
    /// Their specifications.
    pub fn properties() -> Vec<glib::ParamSpec> {
        vec![
            track_caps_property(),
            glib::ParamSpecEnum::builder_with_default("on-new-track", OnNewTrackType::default())
                .nick("On new track")
                .blurb(
                    "What a track means, in Matroska, that comes later and that the document's header does not have: one \
                     more, or one of another codec",
                )
                .mutable_ready()
                .build(),
        ]
    }

    /// Sets a property; `None` where it is none of these, `false` where the type is another.
    pub fn set(&mut self, name: &str, value: &glib::Value) -> Option<bool> {
        Some(match name {
            "track-caps" => value.get().map(|value| self.caps = value).is_ok(),
            "on-new-track" => value.get().map(|value| self.on_new_track = value).is_ok(),
            _ => return None,
        })
    }

    /// The value of a property; `None` where it is none of these.
    pub fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "track-caps" => self.caps.to_value(),
            "on-new-track" => self.on_new_track.to_value(),
            _ => return None,
        })
    }

    /// What elementary frames are.
    pub fn caps(&self) -> TrackCaps {
        TrackCaps::new(self.caps.as_ref())
    }

    pub fn on_new_track(&self) -> OnNewTrack {
        self.on_new_track.into()
    }
}
