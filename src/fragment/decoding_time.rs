//! When frames are to be decoded that come in decoding order and tell only when they are shown.

/// Codecs hold back so many pictures at most (H.264 section A.3.1, H.265 section A.4.2).
pub const MAX_DEPTH: usize = 16;

/// How long a frame lasts where nothing tells, in ns.
const USUAL_SPACING: u64 = 40_000_000;

/// Keyframes that are so much later than all before them, in ns, or by so many frames, follow a gap: what is shown before
/// a keyframe and decoded behind it is less.
const GAP: u64 = 1_000_000_000;
const GAP_IN_FRAMES: u64 = MAX_DEPTH as u64 + 1;

/// How far the pictures of a stream are out of order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reordering {
    /// How many frames at most are decoded before another one and shown after it.
    pub depth: usize,
    /// How long a frame lasts, in ns, where the stream tells.
    pub spacing: Option<u64>,
}

impl Reordering {
    /// By how much the first frame is decoded before it is shown, in ns.
    pub fn delay(self) -> u64 {
        u64::try_from(self.depth).unwrap_or(0).saturating_mul(self.spacing.unwrap_or(USUAL_SPACING))
    }
}

/// Gives each frame a decoding time, without waiting for those that follow.
///
/// The decoding times of a stream are its presentation times in order, as many frames later as pictures are out of order:
/// of depth 2, the third frame is decoded when the first one is shown. Before them, frames are as far apart as they last.
///
/// Invariants: decoding times do not go back, and none is later than its presentation time. Frames that are further out
/// of order than the stream says have none, and make the depth greater.
#[derive(Clone, Debug, Default)]
pub struct DecodingTimes {
    reordering: Reordering,
    /// The greatest presentation times, in descending order, at most one more than the depth.
    latest: Vec<u64>,
    /// The presentation time of the last keyframe. What is shown before it and came behind it tells nothing of the depth:
    /// what comes first of a stream, or behind a jump of its clock, may lack the frames around it.
    keyframe: u64,
    last: Option<u64>,
    /// How far frames were apart before a gap, in ns.
    seen_spacing: Option<u64>,
}

impl DecodingTimes {
    /// Frames that follow are out of order like that.
    pub fn set_reordering(&mut self, reordering: Reordering) {
        self.reordering = Reordering { depth: reordering.depth.min(MAX_DEPTH), ..reordering };
        self.latest.reserve(MAX_DEPTH + 2);
        self.latest.truncate(self.reordering.depth + 1);
    }

    pub fn reordering(&self) -> Reordering {
        self.reordering
    }

    /// What follows has times of its own.
    pub fn restart(&mut self) {
        self.latest.clear();
        self.last = None;
        self.keyframe = 0;
    }

    /// The decoding time, in ns, of the next frame in decoding order, which is shown at `pts`. With `discont`, times may
    /// begin anew.
    pub fn next(&mut self, pts: u64, keyframe: bool, discont: bool) -> Option<u64> {
        if discont && self.last.is_some_and(|last| pts < last) {
            self.restart();
        }
        if self.reordering.depth == 0 && self.latest.first().is_none_or(|latest| pts >= *latest) {
            // In order, as most streams are: the rest comes to the same.
            self.keyframe = if keyframe { pts } else { self.keyframe };
            self.latest.clear();
            self.latest.push(pts);
            self.last = self.last.max(Some(pts));
            return self.last.filter(|last| *last == pts);
        }
        if keyframe {
            self.keyframe = pts;
            // Decoding begins anew behind a gap.
            let newest = self.latest.first().copied().unwrap_or(pts);
            let spacing = self.least_distance().unwrap_or_else(|| self.spacing());
            if pts.saturating_sub(newest) > GAP.max(spacing.saturating_mul(GAP_IN_FRAMES)) {
                self.seen_spacing = Some(spacing);
                self.latest.clear();
            }
        }
        let place = self.latest.partition_point(|other| *other > pts);
        if place > self.reordering.depth && pts > self.keyframe && self.reordering.depth < MAX_DEPTH {
            self.reordering.depth += 1;
        }
        self.latest.insert(place, pts);
        self.latest.truncate(self.reordering.depth + 1);

        let to_come = (self.reordering.depth + 1).saturating_sub(self.latest.len());
        let before = u64::try_from(to_come).unwrap_or(0).saturating_mul(self.spacing());
        let in_order = self.latest.last().copied().unwrap_or(pts).saturating_sub(before);
        let dts = in_order.max(self.last.unwrap_or(0));
        if dts > pts {
            return None;
        }
        self.last = Some(dts);
        self.last
    }

    /// The same of frames that come in the order in which they are shown, whatever is between them.
    pub fn next_in_order(&mut self, pts: u64) -> Option<u64> {
        self.latest.clear();
        let dts = Some(pts).filter(|pts| self.last.is_none_or(|last| *pts >= last))?;
        self.last = Some(dts);
        self.last
    }

    /// How far frames are apart, in ns: what the stream says, or was seen of it.
    fn spacing(&self) -> u64 {
        self.reordering.spacing.or(self.seen_spacing).unwrap_or(USUAL_SPACING)
    }

    /// The least distance between two of the frames that are known, in ns.
    fn least_distance(&self) -> Option<u64> {
        let earlier = self.latest.iter().skip(1);
        let distances = self.latest.iter().zip(earlier).map(|(later, earlier)| later.saturating_sub(*earlier));
        distances.filter(|distance| *distance > 0).min()
    }
}

#[cfg(test)]
mod tests;
