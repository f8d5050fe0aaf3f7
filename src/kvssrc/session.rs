//! One reading of a stream: the connection, what it has said so far, and what is to go out.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::error::Error;
use super::settings::Plan;
use crate::aws::{self, Connection};
use crate::fragment::{Fragment, FrameReader, Header, Output};
use crate::output::{self, Item, Queue, TrackSelector, Writer};

/// From the bytes of a connection to the items of a pad.
pub struct Session {
    connection: Connection,
    frames: FrameReader,
    track: Option<TrackSelector>,
    writing: Option<(Arc<Header>, Writer)>,
    queue: Queue,
}

/// What a session asks of its element.
#[derive(Debug)]
pub enum Step {
    /// Push this.
    Item(Item),
    /// Ask downstream what it takes, and go on with [`Session::begin`].
    Negotiate(Arc<Fragment>),
    /// Wait for [`Session::receive`].
    Receive,
    /// The end that was asked for.
    RangeEnd,
}

/// How a connection ended that delivered all that came.
#[derive(Debug)]
pub enum Ending {
    /// Between two elements.
    Clean,
    /// Inside one; the reason is for people.
    Cut(String),
}

impl Session {
    /// Opens the connection; nothing is awaited here.
    pub fn open(runtime: &Handle, plan: &Plan) -> Self {
        Self {
            connection: Connection::open(runtime, plan.request.clone()),
            frames: FrameReader::new(plan.range),
            track: plan.track.clone(),
            writing: None,
            queue: Queue::new(),
        }
    }

    /// The next thing to do.
    ///
    /// # Errors
    ///
    /// What the body holds cannot go on; all that came before it has gone out.
    pub fn step(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Ok(Step::Item(item));
            }
            match self.frames.next()? {
                Some(Output::Start(fragment)) => match &mut self.writing {
                    Some((header, writer)) if Arc::ptr_eq(header, &fragment.header) => {
                        writer.begin_fragment(&fragment, &mut self.queue);
                    }
                    _ => return Ok(Step::Negotiate(fragment)),
                },
                Some(Output::Block(block)) => {
                    if let Some((_, writer)) = &mut self.writing {
                        writer.write(&block, &mut self.queue);
                    }
                }
                Some(Output::End(_)) => {}
                Some(Output::RangeEnd) => return Ok(Step::RangeEnd),
                None => return Ok(Step::Receive),
            }
        }
    }

    /// Goes on with a fragment whose header is new, in a format that `downstream` takes.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub fn begin(&mut self, fragment: &Arc<Fragment>, downstream: &gst::Caps) -> Result<(), Error> {
        let before = self.writing.take().map(|(_, writer)| writer);
        let header = &fragment.header;
        let mut writer = output::writer(header, downstream, self.track.as_ref(), before.as_ref())?;
        writer.begin_fragment(fragment, &mut self.queue);
        self.writing = Some((Arc::clone(header), writer));
        Ok(())
    }

    /// Waits for bytes; `None` at the end of the connection. Nothing is lost where the future is dropped.
    pub async fn receive(&mut self) -> Option<Result<Bytes, aws::Error>> {
        self.connection.next().await
    }

    /// Takes in received bytes.
    pub fn push(&mut self, bytes: Bytes) {
        self.frames.push(bytes);
    }

    /// What the end of the connection means, after all that it brought has gone out.
    ///
    /// # Errors
    ///
    /// It ended before it began, or with what is no cut.
    pub fn ending(&self, error: Option<aws::Error>) -> Result<Ending, Error> {
        match (error, self.frames.finish()) {
            (None, Ok(())) => Ok(Ending::Clean),
            (None, Err(cut)) => Ok(Ending::Cut(cut.to_string())),
            (Some(error @ aws::Error::Body { .. }), _) => Ok(Ending::Cut(error.to_string())),
            (Some(error), _) => Err(error.into()),
        }
    }

    /// Where a next session would go on, for people.
    pub fn resume_hint(&self) -> String {
        let point = self.frames.resume_point();
        match (point.fragment_number, point.partial) {
            (Some(whole), Some((partial, blocks))) => {
                format!("fragment {whole} was the last whole one, {blocks} blocks of {partial} came after it")
            }
            (Some(whole), None) => format!("fragment {whole} was the last whole one"),
            (None, Some((partial, blocks))) => format!("{blocks} blocks of fragment {partial} came"),
            (None, None) => "no fragment came".to_owned(),
        }
    }
}
