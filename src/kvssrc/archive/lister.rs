//! Lists a range, ahead of what is fetched.

use std::sync::Arc;

use super::board::Board;
use super::patience::Attempts;
use crate::aws::{self, Archive, ServiceErrorKind};
use crate::fragment::{Clock, Listing, Selection};

/// Lists all of the range, or until a call fails for good.
pub async fn run(
    archive: Archive,
    clock: Clock,
    mut listing: Listing,
    mut selection: Selection,
    mut attempts: Attempts,
    board: Arc<Board>,
) {
    let mut token = None;
    while let Some(call) = listing.call() {
        board.wants_more().await;
        let next = if call.next_page { token.take() } else { None };
        let page = match archive.list(clock, call.start, call.end, next.clone()).await {
            Ok(page) => page,
            // Of a window that ends before what is still kept, the service finds the timestamps wrong.
            Err(error) if is_refused(&error) && listing.may_be_refused() => aws::Page::default(),
            Err(error) => match attempts.failed(&error) {
                Some(delay) => {
                    token = next;
                    tokio::time::sleep(delay).await;
                    continue;
                }
                None => return board.fail(error),
            },
        };
        attempts.succeeded();
        token = page.next;
        let chosen = selection.choose(listing.answer(page.fragments, token.is_some()));
        if !chosen.is_empty() {
            board.add(chosen);
        }
    }
    board.all_listed();
}

fn is_refused(error: &aws::Error) -> bool {
    matches!(error, aws::Error::Service { kind: ServiceErrorKind::InvalidArgument, .. })
}
