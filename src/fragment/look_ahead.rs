//! Holds a fragment back until the first frames have come of tracks that their header alone does not describe.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Event, Fragment, Header};

/// How much media is held back for a frame that does not come, in ns.
const PATIENCE: i64 = 1_000_000_000;

/// How much of a frame is kept: enough for any frame header.
const BEGINNING: usize = 64;

/// Events in, the same events out, with headers whose tracks know how their first frame begins where nothing else tells
/// what they are. Only fragments under a header with such a track are held back, and only the first ones.
#[derive(Debug, Default)]
pub struct LookAhead {
    events: VecDeque<Event>,
    looking: Option<Looking>,
    /// A header as it came, and as it goes out.
    known: Option<(Arc<Header>, Arc<Header>)>,
}

#[derive(Debug)]
struct Looking {
    /// As it came, and with what has been found.
    came: Arc<Header>,
    header: Header,
}

impl LookAhead {
    /// Takes in what an element meant.
    pub fn push(&mut self, event: Event) {
        let event = match event {
            Event::Start(fragment) => {
                self.release();
                Event::Start(self.start(fragment))
            }
            Event::Block(block, offset) => {
                if let Some(looking) = &mut self.looking {
                    let track = looking.header.track_index(block.track);
                    let track = track.and_then(|index| looking.header.tracks.tracks.get_mut(index));
                    if let Some(track) = track.filter(|track| track.needs_a_frame())
                        && let Some(frame) = block.frames().next()
                    {
                        let stripped = track.stripped_header.iter();
                        let bytes = stripped.chain(frame.iter().flatten()).take(BEGINNING);
                        track.first_frame = Some(bytes.copied().collect());
                    }
                }
                Event::Block(block, offset)
            }
            Event::End(end) => Event::End(end),
        };
        let is_over = match &event {
            Event::Start(_) => false,
            Event::Block(_, offset) => *offset > PATIENCE,
            Event::End(_) => true,
        };
        self.events.push_back(event);
        let finds_more = self.looking.as_ref().is_some_and(|looking| needs_frames(&looking.header));
        if is_over || !finds_more {
            self.release();
        }
    }

    /// The next event, in the order in which they came; `None` also while one is held back.
    pub fn pop(&mut self) -> Option<Event> {
        if self.looking.is_some() { None } else { self.events.pop_front() }
    }

    /// How many blocks are held back.
    pub fn held_blocks(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Block(..))).count()
    }

    /// What came before is gone, but for what is known of headers.
    pub fn restart(&mut self) {
        self.events.clear();
        self.looking = None;
    }

    /// Holds nothing back any longer; whether anything was.
    pub fn release(&mut self) -> bool {
        let Some(Looking { came, header }) = self.looking.take() else { return false };
        let before = self.known.as_ref().filter(|(known, _)| Arc::ptr_eq(known, &came)).map(|(_, header)| header);
        let header = match before.unwrap_or(&came) {
            before if before.tracks == header.tracks => Arc::clone(before),
            _ => Arc::new(header),
        };
        for event in &mut self.events {
            if let Event::Start(fragment) = event {
                *fragment = under(fragment, &header);
            }
        }
        self.known = Some((came, header));
        true
    }

    /// A fragment begins, under a header that may have been described before.
    fn start(&mut self, fragment: Arc<Fragment>) -> Arc<Fragment> {
        let came = &fragment.header;
        let known = self.known.as_ref().filter(|(known, _)| Arc::ptr_eq(known, came)).map(|(_, header)| header);
        let header = known.unwrap_or(came);
        if needs_frames(header) {
            self.looking = Some(Looking { came: Arc::clone(came), header: Header::clone(header) });
        }
        match known {
            Some(header) => under(&fragment, header),
            None => fragment,
        }
    }
}

/// The fragment with this header.
fn under(fragment: &Arc<Fragment>, header: &Arc<Header>) -> Arc<Fragment> {
    if Arc::ptr_eq(&fragment.header, header) {
        return Arc::clone(fragment);
    }
    Arc::new(Fragment { header: Arc::clone(header), ..Fragment::clone(fragment) })
}

fn needs_frames(header: &Header) -> bool {
    header.tracks.tracks.iter().any(crate::mkv::Track::needs_a_frame)
}
