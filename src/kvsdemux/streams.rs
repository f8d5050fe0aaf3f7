//! The streams of a header: what is offered to the application, and the pads of what it wants.

use std::collections::HashSet;
use std::sync::Arc;

use gst::prelude::*;

use super::control::{Control, Selection};
use super::error::{Error, Loss, Stop};
use super::outlet::{Flow, Outlet};
use super::reading::{Arrival, Opening};
use super::{KvsDemux, imp, tags};
use crate::fragment::Header;
use crate::mkv::{Track, TrackKind};
use crate::output::TrackCaps;

/// All tracks that have a pad or could have one.
pub struct Streams {
    /// What frames come under, once a fragment has begun.
    under: Option<(Opening, gst::StreamCollection)>,
    entries: Vec<Entry>,
    combiner: gst_base::UniqueFlowCombiner,
    /// Ids of what the application wants; `None`: everything.
    wanted: Option<HashSet<String>>,
    /// What the tracks hold.
    claim: TrackCaps,
    group: gst::GroupId,
    /// What every pad begins with, in that order, behind stream-start and caps.
    segment: gst::Event,
    upstream_tags: Option<gst::TagList>,
    /// How many fragments in a row were left out, since their headers described no track.
    left_out: u32,
    /// Why the last one was.
    why_left_out: Option<String>,
}

/// How many that may be.
const MOST_LEFT_OUT: u32 = 10;

/// One track.
struct Entry {
    /// In the header.
    index: usize,
    track: Track,
    caps: gst::Caps,
    pad_name: String,
    stream: gst::Stream,
    /// `None` where the application does not want it.
    outlet: Option<Outlet>,
}

/// A track of a new header.
struct Offer<'a> {
    index: usize,
    track: &'a Track,
    caps: gst::Caps,
}

impl Streams {
    /// Nothing yet, in this segment.
    pub fn new(segment: gst::Event, claim: TrackCaps) -> Self {
        Self {
            under: None,
            entries: Vec::new(),
            combiner: gst_base::UniqueFlowCombiner::new(),
            wanted: None,
            claim,
            group: gst::GroupId::next(),
            segment,
            upstream_tags: None,
            left_out: 0,
            why_left_out: None,
        }
    }

    /// Whether no fragment has begun.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Why no fragment has begun.
    pub fn why_empty(&mut self) -> Error {
        match self.why_left_out.take() {
            Some(reasons) => Error::NoKnownTrack { reasons, may_pass: false },
            None => Error::NoStreams,
        }
    }

    /// Upstream's group, of which the streams are a part.
    pub fn set_group(&mut self, group: gst::GroupId) {
        self.group = group;
    }

    /// Another segment begins, after a flush or without one.
    pub fn set_segment(&mut self, segment: gst::Event) {
        self.outlets().for_each(|outlet| outlet.begin_segment(segment.clone()));
        self.segment = segment;
    }

    /// Upstream has something to say of the whole stream.
    pub fn set_tags(&mut self, tags: gst::TagList) {
        self.upstream_tags = Some(tags);
        if let Some((opening, _)) = &self.under {
            let tags = tags::of_stream(&opening.fragment.header, self.upstream_tags.as_ref());
            self.push_event(&gst::event::Tag::new(tags));
        }
    }

    /// What comes next does not go on where the last buffers ended.
    pub fn interrupt(&mut self) {
        self.outlets().for_each(Outlet::interrupt);
    }

    /// All data was thrown away.
    pub fn flush(&mut self) {
        self.interrupt();
        self.combiner.reset();
    }

    /// Upstream says that nothing comes before this moment, in ns.
    pub fn silent_until(&mut self, end: u64) {
        self.outlets().for_each(|outlet| outlet.silent_until(end));
    }

    /// Sends an event to every pad.
    pub fn push_event(&mut self, event: &gst::Event) {
        for outlet in self.outlets() {
            outlet.push_event(event);
        }
    }

    /// A fragment begins; where its header is new, pads come and go.
    ///
    /// # Errors
    ///
    /// There is no track that can have a pad, or downstream wants no more.
    pub fn begin_fragment(&mut self, element: &KvsDemux, control: &Control, opening: &Opening) -> Result<(), Stop> {
        match &mut self.under {
            Some((before, _)) if Arc::ptr_eq(&before.fragment.header, &opening.fragment.header) => {
                before.clone_from(opening);
            }
            _ => {
                if let Some(loss) = self.adopt_if_described(element, control, opening)? {
                    loss.warn(element);
                    return Ok(());
                }
            }
        }
        self.each_outlet(|outlet, _| outlet.begin_fragment(opening))
    }

    /// A block of the fragment that began last.
    ///
    /// # Errors
    ///
    /// Downstream wants no more.
    pub fn block(&mut self, arrival: &Arrival) -> Result<(), Stop> {
        if self.left_out > 0 {
            return Ok(());
        }
        let track = arrival.timed.track;
        self.each_outlet(|outlet, index| outlet.block(arrival, track == Some(index)))
    }

    /// The application wants these streams only: the pads of the others go.
    ///
    /// # Errors
    ///
    /// Downstream wants no more.
    pub fn select(&mut self, element: &KvsDemux, selection: &Selection) -> Result<(), Stop> {
        let Some((opening, collection)) = self.under.clone() else { return Ok(()) };
        self.wanted = Some(selection.streams.iter().cloned().collect());
        let mut added = Vec::new();
        for at in 0..self.entries.len() {
            if self.is_wanted(at) && self.entries.get(at).is_some_and(|entry| entry.outlet.is_none()) {
                self.add(element, at, &collection, &opening.fragment.header);
                added.push(at);
            }
        }
        // Behind those that come, as under a new header.
        for at in 0..self.entries.len() {
            if !self.is_wanted(at)
                && let Some(outlet) = self.entries.get_mut(at).and_then(|entry| entry.outlet.take())
            {
                self.remove(element, &outlet);
            }
        }
        gst::info!(imp::CAT, obj = element, "Selected {:?}", selection.streams);
        let selected = self.entries.iter().filter(|entry| entry.outlet.is_some()).map(|entry| &entry.stream);
        let message = gst::message::StreamsSelected::builder(&collection)
            .streams(selected)
            .src(element)
            .seqnum(selection.seqnum)
            .build();
        // Fails only where nobody has a bus to listen to.
        let _ = element.post_message(message);
        for at in added {
            let Some(Entry { track, outlet: Some(outlet), .. }) = self.entries.get_mut(at) else { continue };
            if matches!(track.kind, TrackKind::Video(_)) {
                outlet.wait_for_keyframe();
            }
            if let Some(flow) = outlet.begin_fragment(&opening) {
                self.combiner.update_pad_flow(&outlet.pad, flow)?;
            }
        }
        Ok(())
    }

    /// Takes over the tracks of a header; or what keeps its fragment out, where the next one may have another.
    fn adopt_if_described(
        &mut self,
        element: &KvsDemux,
        control: &Control,
        opening: &Opening,
    ) -> Result<Option<Loss>, Error> {
        match self.adopt(element, control, opening) {
            Err(Error::NoKnownTrack { reasons, may_pass: true }) if self.left_out < MOST_LEFT_OUT => {
                self.left_out = self.left_out.saturating_add(1);
                self.why_left_out = Some(reasons.clone());
                Ok(Some(Loss::Fragment { reasons }))
            }
            result => {
                if std::mem::take(&mut self.left_out) > 0 {
                    self.interrupt();
                }
                result.map(|()| None)
            }
        }
    }

    /// Takes over the tracks of a header. A pad stays where its track goes on in a format that downstream takes.
    fn adopt(&mut self, element: &KvsDemux, control: &Control, opening: &Opening) -> Result<(), Error> {
        let header = &opening.fragment.header;
        let offers = offers(element, header, &self.claim)?;
        let mut before = std::mem::take(&mut self.entries);
        let mut entries = Vec::new();
        let mut collection_is_new = self.under.is_none();
        let goes_on = |offer: &Offer, entry: &Entry| entry.goes_on_as(offer, &stream_id(element, offer.track));
        let grows = offers.iter().any(|offer| !before.iter().any(|entry| goes_on(offer, entry)));
        let all_anew = grows && imp::is_autoplugged(element);
        for offer in &offers {
            let id = stream_id(element, offer.track);
            if let Some(at) = before.iter().position(|entry| !all_anew && entry.goes_on_as(offer, &id)) {
                let mut entry = before.swap_remove(at);
                entry.renew(offer);
                entries.push(entry);
            } else {
                collection_is_new = true;
                let taken = || entries.iter().chain(&before).map(|entry: &Entry| entry.pad_name.as_str());
                let pad_name = free_name(&offer.track.kind, taken);
                entries.push(Entry::new(offer, pad_name, &id));
            }
        }
        collection_is_new |= !before.is_empty();
        self.entries = entries;

        let collection = match (&self.under, collection_is_new) {
            (Some((_, collection)), false) => collection.clone(),
            _ => self.announce(element, control),
        };
        self.under = Some((opening.clone(), collection.clone()));
        if self.wanted.as_ref().is_some_and(|wanted| !self.entries.iter().any(|entry| entry.is_in(wanted))) {
            // A stream of which nothing is left that was wanted begins anew.
            self.wanted = None;
        }
        for at in 0..self.entries.len() {
            if self.entries.get(at).is_some_and(|entry| entry.outlet.is_none()) && self.is_wanted(at) {
                self.add(element, at, &collection, header);
            }
        }
        if collection_is_new {
            element.no_more_pads();
        }
        // Last, so that who waits for the end of all pads knows those that come behind them.
        for entry in before {
            if let Some(outlet) = entry.outlet {
                self.remove(element, &outlet);
            }
        }
        Ok(())
    }

    /// Tells application and downstream which streams there are.
    fn announce(&mut self, element: &KvsDemux, control: &Control) -> gst::StreamCollection {
        let upstream = element.static_pad("sink").and_then(|pad| pad.stream_id());
        let streams: Vec<gst::Stream> = self.entries.iter().map(|entry| entry.stream.clone()).collect();
        control.set_streams(self.entries.iter().map(Entry::id).collect());
        let collection = gst::StreamCollection::builder(upstream.as_deref()).streams(streams).build();
        gst::info!(imp::CAT, obj = element, "The stream has {}", self.describe());
        let message = gst::message::StreamCollection::builder(&collection).src(element).build();
        // Fails only where nobody has a bus to listen to.
        let _ = element.post_message(message);
        self.push_event(&gst::event::StreamCollection::new(&collection));
        collection
    }

    /// Adds the pad of the entry, with all that goes before its first buffer.
    fn add(&mut self, element: &KvsDemux, at: usize, collection: &gst::StreamCollection, header: &Header) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        let pad = imp::source_pad(element, is_video(&entry.track.kind), &entry.pad_name);
        if let Err(error) = pad.set_active(true) {
            gst::warning!(imp::CAT, obj = pad, "{error}");
        }
        let id = entry.id();
        pad.push_event(
            gst::event::StreamStart::builder(&id)
                .group_id(self.group)
                .flags(entry.stream.stream_flags())
                .stream(entry.stream.clone())
                .build(),
        );
        pad.push_event(gst::event::StreamCollection::new(collection));
        pad.push_event(gst::event::Caps::new(&entry.caps));
        let outlet = Outlet::new(pad.clone(), entry.index, &entry.track, &entry.caps, self.segment.clone());
        outlet.push_segment();
        if let Some(tags) = tags::of_track(&entry.track) {
            pad.push_event(gst::event::Tag::new(tags));
        }
        pad.push_event(gst::event::Tag::new(tags::of_stream(header, self.upstream_tags.as_ref())));
        for event in imp::sticky_events_of_upstream(element) {
            pad.push_event(event);
        }
        gst::debug!(imp::CAT, obj = element, "Adding {} for {id}: {}", entry.pad_name, entry.caps);
        self.combiner.add_pad(&pad);
        if let Err(error) = element.add_pad(&pad) {
            gst::error!(imp::CAT, obj = pad, "{error}");
        }
        entry.outlet = Some(outlet);
    }

    fn remove(&mut self, element: &KvsDemux, outlet: &Outlet) {
        let pad = &outlet.pad;
        gst::debug!(imp::CAT, obj = element, "Removing {}", pad.name());
        pad.push_event(gst::event::Eos::builder().seqnum(self.segment.seqnum()).build());
        self.combiner.remove_pad(pad);
        let _ = pad.set_active(false);
        if let Err(error) = element.remove_pad(pad) {
            gst::error!(imp::CAT, obj = pad, "{error}");
        }
    }

    /// Does the same on every pad, as long as downstream of any of them wants more.
    fn each_outlet(&mut self, mut work: impl FnMut(&mut Outlet, usize) -> Option<Flow>) -> Result<(), Stop> {
        for entry in &mut self.entries {
            let Some(outlet) = &mut entry.outlet else { continue };
            if let Some(flow) = work(outlet, entry.index) {
                self.combiner.update_pad_flow(&outlet.pad, flow)?;
            }
        }
        Ok(())
    }

    fn outlets(&mut self) -> impl Iterator<Item = &mut Outlet> {
        self.entries.iter_mut().filter_map(|entry| entry.outlet.as_mut())
    }

    fn is_wanted(&self, at: usize) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| self.entries.get(at).is_some_and(|entry| entry.is_in(wanted)))
    }

    fn describe(&self) -> String {
        let tracks: Vec<String> =
            self.entries.iter().map(|entry| format!("{} ({})", entry.pad_name, entry.track.codec_id)).collect();
        tracks.join(", ")
    }
}

impl Entry {
    fn new(offer: &Offer, pad_name: String, id: &str) -> Self {
        let kind = if is_video(&offer.track.kind) { gst::StreamType::VIDEO } else { gst::StreamType::AUDIO };
        let stream = gst::Stream::new(Some(id), Some(&offer.caps), kind, gst::StreamFlags::empty());
        stream.set_tags(tags::of_track(offer.track).as_ref());
        Self {
            index: offer.index,
            track: offer.track.clone(),
            caps: offer.caps.clone(),
            pad_name,
            stream,
            outlet: None,
        }
    }

    /// The id of its stream.
    fn id(&self) -> String {
        self.stream.stream_id().map(String::from).unwrap_or_default()
    }

    fn is_in(&self, ids: &HashSet<String>) -> bool {
        ids.contains(&self.id())
    }

    /// Whether its pad can go on with the offered track.
    fn goes_on_as(&self, offer: &Offer, id: &str) -> bool {
        let same = self.track.number == offer.track.number
            && is_video(&self.track.kind) == is_video(&offer.track.kind)
            && self.id() == id;
        same && self.outlet.as_ref().is_none_or(|outlet| {
            self.caps == offer.caps || !outlet.pad.is_linked() || outlet.pad.peer_query_accept_caps(&offer.caps)
        })
    }

    fn renew(&mut self, offer: &Offer) {
        self.index = offer.index;
        self.track = offer.track.clone();
        self.caps = offer.caps.clone();
        self.stream.set_caps(Some(&offer.caps));
        let tags = tags::of_track(offer.track);
        if let Some(outlet) = &mut self.outlet {
            outlet.renew(offer.index, offer.track, &offer.caps);
            if let Some(tags) = tags.as_ref().filter(|tags| self.stream.tags().as_ref() != Some(tags)) {
                outlet.pad.push_event(gst::event::Tag::new(tags.clone()));
            }
        }
        self.stream.set_tags(tags.as_ref());
    }
}

/// The tracks that can have a pad; of the others the application is told.
fn offers<'a>(element: &KvsDemux, header: &'a Header, claim: &TrackCaps) -> Result<Vec<Offer<'a>>, Error> {
    let mut offers = Vec::new();
    let mut lost = Vec::new();
    for (index, track) in header.tracks.tracks.iter().enumerate() {
        match claim.of(track) {
            Ok(caps) => offers.push(Offer { index, track, caps }),
            Err(reason) => lost.push((track.number, reason)),
        }
    }
    if offers.is_empty() {
        let reasons = lost.iter().map(|(number, reason)| format!("track {number}: {reason}"));
        return Err(Error::NoKnownTrack {
            reasons: reasons.collect::<Vec<_>>().join("; "),
            may_pass: lost.iter().any(|(_, reason)| reason.may_pass()),
        });
    }
    lost.into_iter().for_each(|(number, reason)| Loss::Track { number, reason }.warn(element));
    Ok(offers)
}

/// Upstream's stream id and the track's number: what does not change when a producer starts again.
fn stream_id(element: &KvsDemux, track: &Track) -> String {
    let number = format!("{:03}", track.number);
    let upstream = element.static_pad("sink").and_then(|pad| pad.stream_id());
    upstream.map_or_else(|| format!("kvsdemux/{number}"), |upstream| format!("{upstream}/{number}"))
}

/// `video_0`, `audio_0`: the lowest number that is free.
fn free_name<'a, I: Iterator<Item = &'a str>>(kind: &TrackKind, taken: impl Fn() -> I) -> String {
    let kind = if is_video(kind) { "video" } else { "audio" };
    let mut number = 0_u32;
    loop {
        let name = format!("{kind}_{number}");
        if !taken().any(|taken| taken == name) {
            return name;
        }
        number = number.saturating_add(1);
    }
}

fn is_video(kind: &TrackKind) -> bool {
    matches!(kind, TrackKind::Video(_))
}
