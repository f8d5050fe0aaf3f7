//! How far the producer's clock has run away from the one that its stream is watched by.

/// The shortest time, in ns, over which a drift is judged: frames come unevenly, but not for so long.
const WINDOW: i64 = 10_000_000_000;

/// The fewest fragments over which it is judged: one that is uploaded whole tells at its last frame only.
const FRAGMENTS: u32 = 2;

/// When the bytes that are being read came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Running time of the pipeline, in ns.
    pub running_time: i64,
    /// They had come before, and waited until somebody wanted them: they tell nothing of the producer's clock.
    pub waited: bool,
}

/// Judges two clocks by the frame of each window that came the soonest after its presentation time.
///
/// The soonest frame is the one that neither network nor producer held back. Where it stands in the first window is
/// how the stream is; how far later windows stand from there is drift. A step to the early side (a pipeline that was
/// paused, a backlog that is read at full speed) is no drift, and the stream goes on from there.
#[derive(Clone, Debug)]
pub struct Drift {
    /// How far the clocks may part, in ns.
    limit: i64,
    window: Option<Window>,
    /// The soonest lateness of the first window, moved by the steps since.
    reference: Option<i64>,
    /// That of the window before.
    before: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    begin: i64,
    fragments: u32,
    soonest: Option<i64>,
}

impl Drift {
    /// Clocks may part by `limit` ns.
    pub fn new(limit: i64) -> Self {
        Self { limit, window: None, reference: None, before: None }
    }

    /// How far the clocks may part, in ns.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    /// How long after its presentation time the soonest frame comes, in ns; mostly negative.
    pub fn usual_lateness(&self) -> i64 {
        self.reference.or(self.window.and_then(|window| window.soonest)).unwrap_or(0)
    }

    /// A frame of this presentation time, in ns, has come.
    pub fn observe(&mut self, presentation: i64, arrival: Arrival) {
        if let (Some(window), false) = (&mut self.window, arrival.waited) {
            let lateness = arrival.running_time.saturating_sub(presentation);
            window.soonest = Some(window.soonest.map_or(lateness, |soonest| soonest.min(lateness)));
        }
    }

    /// A fragment begins: by how many ns presentation times have to change so that the clocks agree again. Positive
    /// where the producer's clock is slow and frames have come too late.
    pub fn judge(&mut self, running_time: i64) -> Option<i64> {
        let window = self.window.get_or_insert(Window { begin: running_time, fragments: 0, soonest: None });
        if running_time.saturating_sub(window.begin) < WINDOW || window.fragments < FRAGMENTS {
            window.fragments = window.fragments.saturating_add(1);
            return None;
        }
        let soonest = window.soonest;
        *window = Window { begin: running_time, fragments: 1, soonest: None };
        let soonest = soonest?;
        let reference = self.reference.get_or_insert(soonest);
        if let Some(before) = self.before.replace(soonest) {
            let step = soonest.saturating_sub(before);
            if step < self.limit.saturating_neg() {
                *reference = reference.saturating_add(step);
            }
        }
        let drift = soonest.saturating_sub(*reference);
        (drift.saturating_abs() > self.limit).then_some(drift)
    }

    /// Presentation times have changed: what was seen before does not count any more.
    pub fn corrected(&mut self) {
        self.window = None;
        self.before = self.reference;
    }
}
