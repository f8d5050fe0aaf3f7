//! Nanoseconds as GStreamer has them.

/// The first time that is none, in ns. Elements take differences of times in 63 bits, which hold 292 years; and what
/// saturates on its way through this plugin ends there.
const NO_TIME: u64 = i64::MAX.cast_unsigned();

/// A time or a duration in ns; `None` if there can be no such time. Whatever a stream says comes through here:
/// [`gst::ClockTime::from_nseconds`] panics on what GStreamer has for none.
pub fn clock_time(nanoseconds: u64) -> Option<gst::ClockTime> {
    #[expect(clippy::disallowed_methods, reason = "the one place that calls it, with a value that can be")]
    (nanoseconds < NO_TIME).then(|| gst::ClockTime::from_nseconds(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_saturates_is_no_time() {
        assert_eq!(clock_time(0), Some(gst::ClockTime::ZERO));
        assert_eq!(clock_time(NO_TIME - 1).map(gst::ClockTime::nseconds), Some(NO_TIME - 1));
        for none in [NO_TIME, NO_TIME + 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(clock_time(none), None, "{none}");
        }
    }
}
