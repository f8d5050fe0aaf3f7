//! Lists a range, ahead of what is fetched.

use std::sync::Arc;

use super::board::Board;
use super::patience::Attempts;
use crate::aws::{self, Archive, ServiceErrorKind};
use crate::fragment::{Clock, Listed, Listing, reaching};

/// Lists up to the end of the range, or until a call fails for good.
pub async fn run(
    archive: Archive,
    clock: Clock,
    mut listing: Listing,
    start: Option<i64>,
    mut attempts: Attempts,
    board: Arc<Board>,
) {
    let (mut token, mut first) = (None, start);
    while let Some(call) = listing.call() {
        board.wants_more().await;
        let next = if call.next_page { token.take() } else { None };
        let page = match archive.list(clock, call.start, call.end, next.clone()).await {
            Ok(page) => page,
            // Of a window that ends before what is still kept, the service finds the timestamps wrong.
            Err(error) if is_refused(&error) && listing.has_more() => aws::Page::default(),
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
        let mut found: Vec<Listed> = listing.answer(page.fragments, token.is_some());
        if found.is_empty() {
            continue;
        }
        if let Some(start) = first.take() {
            found = reaching(start, found);
        }
        board.add(found);
    }
    board.all_listed();
}

fn is_refused(error: &aws::Error) -> bool {
    matches!(error, aws::Error::Service { kind: ServiceErrorKind::InvalidArgument, .. })
}
