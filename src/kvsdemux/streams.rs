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
    /// What holds of the fragment at hand.
    fragment_tags: Option<gst::TagList>,
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
    /// Its id is made of upstream's and of the number that its track had first.
    stream: gst::Stream,
    upstream: Option<String>,
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
            fragment_tags: None,
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
        self.push_tags();
    }

    /// These tags hold from here on.
    pub fn set_fragment_tags(&mut self, tags: Option<gst::TagList>) {
        self.fragment_tags = tags;
        if self.fragment_tags.is_some() {
            self.push_tags();
        }
    }

    fn push_tags(&mut self) {
        if let Some((opening, _)) = &self.under {
            let tags = self.tags(&opening.fragment.header);
            self.push_event(&gst::event::Tag::new(tags));
        }
    }

    /// What is true of the whole stream.
    fn tags(&self, header: &Header) -> gst::TagList {
        tags::of_stream(header, self.fragment_tags.as_ref(), self.upstream_tags.as_ref())
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
        let upstream = upstream_id(element);
        let mut kept = kept(&offers, &mut before, upstream.as_deref());
        if kept.iter().any(Option::is_none) && imp::is_autoplugged(element) {
            before.extend(kept.iter_mut().filter_map(Option::take));
        }
        let mut ids: Vec<String> = kept.iter().flatten().map(Entry::id).collect();
        let mut names: Vec<String> = kept.iter().flatten().chain(&before).map(|entry| entry.pad_name.clone()).collect();
        for (offer, kept) in offers.iter().zip(kept) {
            if let Some(mut entry) = kept {
                entry.renew(offer);
                entries.push(entry);
            } else {
                collection_is_new = true;
                let entry = Entry::new(offer, free_name(&offer.track.kind, &names), upstream.clone(), &ids);
                ids.push(entry.id());
                names.push(entry.pad_name.clone());
                entries.push(entry);
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
        let stream_tags = self.tags(header);
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
        pad.push_event(gst::event::Tag::new(stream_tags));
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
    /// An entry with another id than these.
    fn new(offer: &Offer, pad_name: String, upstream: Option<String>, taken: &[String]) -> Self {
        let id = free_id(upstream.as_deref(), offer.track, taken);
        let kind = if is_video(&offer.track.kind) { gst::StreamType::VIDEO } else { gst::StreamType::AUDIO };
        let stream = gst::Stream::new(Some(&id), Some(&offer.caps), kind, gst::StreamFlags::empty());
        stream.set_tags(tags::of_track(offer.track).as_ref());
        Self {
            index: offer.index,
            track: offer.track.clone(),
            caps: offer.caps.clone(),
            pad_name,
            stream,
            upstream,
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
    fn goes_on_as(&self, offer: &Offer, upstream: Option<&str>) -> bool {
        let same = is_video(&self.track.kind) == is_video(&offer.track.kind) && self.upstream.as_deref() == upstream;
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

/// The entries that go on as the tracks of a header, which are taken out of `before`: first what is the same in all, then
/// tracks of which only the number is another, then those of which only the number is the same.
fn kept(offers: &[Offer], before: &mut Vec<Entry>, upstream: Option<&str>) -> Vec<Option<Entry>> {
    fn is_renumbered(known: &Track, track: &Track) -> bool {
        let first_frame = known.first_frame.clone();
        *known == Track { number: known.number, uid: known.uid, first_frame, ..track.clone() }
    }
    let rules: [fn(&Track, &Track) -> bool; 3] = [
        |known, track| known.number == track.number && is_renumbered(known, track),
        is_renumbered,
        |known, track| known.number == track.number,
    ];
    let mut kept: Vec<Option<Entry>> = offers.iter().map(|_| None).collect();
    for rule in rules {
        for (offer, kept) in offers.iter().zip(&mut kept).filter(|(_, kept)| kept.is_none()) {
            let goes_on = |entry: &Entry| rule(&entry.track, offer.track) && entry.goes_on_as(offer, upstream);
            if let Some(at) = before.iter().position(goes_on) {
                *kept = Some(before.swap_remove(at));
            }
        }
    }
    kept
}

fn upstream_id(element: &KvsDemux) -> Option<String> {
    element.static_pad("sink").and_then(|pad| pad.stream_id()).map(String::from)
}

/// Upstream's stream id and the track's number: what does not change when a producer starts again. Where another track
/// has begun with that number, so does a second one.
fn free_id(upstream: Option<&str>, track: &Track, taken: &[String]) -> String {
    let id = format!("{}/{:03}", upstream.unwrap_or("kvsdemux"), track.number);
    let ids = std::iter::once(id.clone()).chain((2_u32..).map(|next| format!("{id}-{next}")));
    ids.into_iter().find(|id| !taken.contains(id)).unwrap_or_default()
}

/// `video_0`, `audio_0`: the lowest number that is free.
fn free_name(kind: &TrackKind, taken: &[String]) -> String {
    let kind = if is_video(kind) { "video" } else { "audio" };
    (0_u32..).map(|number| format!("{kind}_{number}")).find(|name| !taken.contains(name)).unwrap_or_default()
}

fn is_video(kind: &TrackKind) -> bool {
    matches!(kind, TrackKind::Video(_))
}
