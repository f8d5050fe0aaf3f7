//! Lists a range, ahead of what is fetched.

use std::sync::Arc;

use super::board::Board;
use super::patience::Attempts;
use crate::aws::{self, Archive, ServiceErrorKind};
use crate::fragment::{Clock, Listing, Selection, Tail};

/// Lists all of the range, or until a call fails for good. Of a stream that goes on there is a `tail`.
pub async fn run(
    archive: Archive,
    clock: Clock,
    mut listing: Listing,
    mut selection: Selection,
    mut tail: Option<Tail>,
    mut attempts: Attempts,
    board: Arc<Board>,
) {
    let (mut token, mut renewed) = (None, false);
    while let Some(call) = listing.call() {
        board.wants_more().await;
        let next = if call.next_page { token.take() } else { None };
        let page = match archive.list(clock, call.start, call.end, next.clone()).await {
            Ok(page) => page,
            // Of a window that ends before what is still kept, the service finds the timestamps wrong.
            Err(error) if is_refused(&error) && (listing.may_be_refused() || !call.next_page && is_too_old(&error)) => {
                aws::Page::default()
            }
            // A token may be too old where calls have failed for long.
            Err(error) if is_refused(&error) && call.next_page && !std::mem::replace(&mut renewed, true) => {
                listing.again();
                continue;
            }
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
        renewed &= !call.next_page;
        token = page.next;
        let mut listed = listing.answer(page.fragments, token.is_some());
        if let Some(tail) = &mut tail {
            listed = tail.push(listed);
        }
        if listing.call().is_none() {
            listed.extend(tail.take().map(Tail::finish).unwrap_or_default());
        }
        let chosen = selection.choose(listed);
        board.left_out(selection.copies());
        if !chosen.is_empty() {
            board.add(chosen);
        }
    }
    board.all_listed();
}

/// Whether the service says that it keeps nothing of what was asked for any more
/// ([aws-sdk-js 4102](https://github.com/aws/aws-sdk-js/issues/4102)).
fn is_too_old(error: &aws::Error) -> bool {
    matches!(error, aws::Error::Service { message, .. } if message.contains("retention"))
}

fn is_refused(error: &aws::Error) -> bool {
    matches!(error, aws::Error::Service { kind: ServiceErrorKind::InvalidArgument, .. })
}
