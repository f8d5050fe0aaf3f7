//! What of a range is listed and fetched for a position.

use super::{Position, Range, milliseconds};
use crate::fragment::{Listing, Selection, Snap, Steps, Trick};
use crate::output::Kinds;

/// What is to be listed for a position, and what of it is to be fetched.
pub fn course(range: &Range, position: &Position) -> (Listing, Selection) {
    let Position { segment, snap, .. } = position;
    let start = range.beginning.get().map(|_| milliseconds(range.moment(segment.start().unwrap_or_default())));
    // The end is the first moment that is not wanted, and a listing's the last one that is.
    let end = milliseconds(range.end(position).saturating_sub(1));
    match (start, position.is_backward()) {
        (None, _) => (Listing::earliest(end), Selection::forward(None)),
        (Some(start), false) => (Listing::new(start, end), Selection::forward(Some(start))),
        (Some(start), true) => {
            // The keyframe that the end moves to may be that of the next fragment.
            let behind = if *snap == Snap::Exact { 0 } else { Listing::reach() };
            (Listing::backward(start, end.saturating_add(behind)), Selection::backward(start, end))
        }
    }
}

/// The position of a stream that is known to have no video without what is meant for video; and, where nothing but video
/// goes out, the steps of which each needs one fragment.
pub fn as_it_is(range: &Range, mut position: Position) -> (Position, Option<Steps>) {
    let steps = match range.kinds() {
        None => None,
        Some(Kinds { video: false, .. }) => {
            position.trick = Trick::default();
            None
        }
        Some(Kinds { audio, .. }) => position.trick.keyframes.filter(|_| !audio || position.trick.without_audio),
    };
    (position, steps)
}
